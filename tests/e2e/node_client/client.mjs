// Makes the calls that standard input asks for, a JSON object, and prints their ends as JSON:
//
//   {"target": "unix:/x/s.sock" | "localhost:7443", "protos": FOLDER, "ca", "cert", "key": FILES,
//    "calls": [{"service": "salve.v1.ThrottleService", "method": "GetThrottleState",
//               "request": {}, "deadline": seconds}]}
//   [{"code": 0, "details": "", "response": {}} | {"code": 16, "details": "…"}]
//
// A stream's end is its first message.
//
// The packages are those of the folder that $PACKAGES names.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.PACKAGES}/`);
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

// grpc.health.v1 is a standard; its proto is not part of this API.
const HEALTH = {
  nested: { grpc: { nested: { health: { nested: { v1: { nested: {
    HealthCheckRequest: { fields: { service: { type: 'string', id: 1 } } },
    HealthCheckResponse: {
      fields: { status: { type: 'ServingStatus', id: 1 } },
      nested: { ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2 } } },
    },
    Health: { methods: { Check: {
      requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' } } },
  } } } } } } },
};
const LOADING = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

function credentialsOf(task) {
  if (!task.ca) return grpc.credentials.createInsecure();
  const read = (file) => (file ? fs.readFileSync(file) : null);
  return grpc.credentials.createSsl(read(task.ca), read(task.key), read(task.cert));
}

function clientClass(packages, service) {
  return service.split('.').reduce((scope, name) => scope[name], packages);
}

function call(client, { method, request, deadline }) {
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + 1000 * (deadline ?? 10) };
    const end = (error, response) => resolve(
      error ? { code: error.code, details: error.details } : { code: 0, details: '', response });
    if (client[method].responseStream) {
      const stream = client[method](request ?? {}, options);
      stream.once('data', (message) => { end(null, message); stream.cancel(); });
      stream.on('error', (error) => end(error));
      stream.once('end', () => end({ code: -1, details: 'the stream ended' }));
    } else {
      client[method](request ?? {}, options, end);
    }
  });
}

const task = JSON.parse(fs.readFileSync(0, 'utf8'));
const loaded = protoLoader.loadSync('api/salve.proto',
  { ...LOADING, includeDirs: [task.protos] });
const packages = grpc.loadPackageDefinition({ ...loaded, ...protoLoader.fromJSON(HEALTH, LOADING) });
const credentials = credentialsOf(task);
const ends = [];
for (const one of task.calls) {
  const client = new (clientClass(packages, one.service))(task.target, credentials);
  ends.push(await call(client, one));
  client.close();
}
process.stdout.write(JSON.stringify(ends));
