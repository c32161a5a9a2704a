// What the API costs, each against something bare in the same run:
//   GetThrottleState of 1,000 entries against a handler that gives the same reply ready-made, as a
//   message (`ratio`) and as bytes that need not even be written out (`ratio_bytes`): p50 against
//   p50, in turns.
//   CheckThrottle on one core: calls a second with client, server and engine together there, and
//   the CPU time of a call without the client's; `bare_per_second` is the rate of a handler whose
//   verdict is ready-made.
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/api_door.h"
#include "agent/api_listener.h"
#include "agent/served_world.h"
#include "api/salve.grpc.pb.h"
#include "base/check.h"
#include "benchmark/benchmark.h"

namespace salve {
namespace {

using std::chrono::steady_clock;

constexpr int kEntries = 1000;
constexpr int kClients = 4;

std::string HealthSets() {
  std::string values;
  for (int i = 0; i < kEntries; ++i) absl::StrAppend(&values, " value: \"worker-", i, "\"");
  return absl::StrCat(R"(
      health_set {
        name: "Workers"
        for_each {)",
                      values, R"( }
        probe { name: "Told" notification {} }
        monitor { name: "Down" probe: "Told" consecutive_failures {} }
        responder {
          name: "Restart" monitor: "Down" on: UNHEALTHY
          run_command { command: "/bin/true" resource: "{target}.service" }
        }
      })");
}

// Gives the state as bytes.
struct ReadyBytes final
    : v1::ThrottleService::WithRawCallbackMethod_GetThrottleState<v1::ThrottleService::Service> {
  grpc::ServerUnaryReactor* GetThrottleState(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer*,
                                             grpc::ByteBuffer* response) override {
    *response = state;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ByteBuffer state;
};

// Gives what it was given.
struct ReadyMade final : v1::ThrottleService::Service {
  grpc::Status GetThrottleState(grpc::ServerContext*, const v1::GetThrottleStateRequest*,
                                v1::GetThrottleStateResponse* response) override {
    *response = state;
    return grpc::Status::OK;
  }
  grpc::Status CheckThrottle(grpc::ServerContext*, const v1::CheckThrottleRequest*,
                             v1::CheckThrottleResponse* response) override {
    *response = verdict;
    return grpc::Status::OK;
  }
  v1::GetThrottleStateResponse state;
  v1::CheckThrottleResponse verdict;
};

// The real API, and the ready-made one at a socket beside it.
class Both {
 public:
  Both() : world_(HealthSets()), real_(v1::ThrottleService::NewStub(world_.Channel())) {
    ready_.state = State(*real_);
    CHECK(ready_.state.entries_size() == kEntries);
    ready_.verdict = Check(*real_);
    CHECK(ready_.verdict.passed());
    const grpc::Slice bytes(ready_.state.SerializeAsString());
    ready_bytes_.state = grpc::ByteBuffer(&bytes, 1);
    Serve("bare", ready_, bare_listener_, bare_);
    Serve("bytes", ready_bytes_, bytes_listener_, bytes_);
  }
  v1::ThrottleService::Stub& real() { return *real_; }
  v1::ThrottleService::Stub& bare() { return *bare_; }
  v1::ThrottleService::Stub& bytes() { return *bytes_; }
  size_t size() const { return ready_.state.ByteSizeLong(); }

  static v1::GetThrottleStateResponse State(v1::ThrottleService::Stub& stub) {
    grpc::ClientContext context;
    v1::GetThrottleStateResponse response;
    CHECK(stub.GetThrottleState(&context, {}, &response).ok());
    return response;
  }
  static v1::CheckThrottleResponse Check(v1::ThrottleService::Stub& stub) {
    grpc::ClientContext context;
    v1::CheckThrottleRequest request;
    request.set_action("RunCommand");
    request.set_resource("worker-7.service");
    v1::CheckThrottleResponse response;
    CHECK(stub.CheckThrottle(&context, request, &response).ok());
    return response;
  }

 private:
  using Stub = std::unique_ptr<v1::ThrottleService::Stub>;

  void Serve(const std::string& name, grpc::Service& service,
             std::unique_ptr<ApiListener>& listener, Stub& stub) {
    const std::string path = world_.socket() + "." + name;
    listener =
        ApiListener::OnSocket({.path = path}, {.door = *door_, .services = {&service}}).value();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub = v1::ThrottleService::NewStub(
        grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments));
  }

  ServedWorld world_;
  Stub real_;
  ReadyMade ready_;
  ReadyBytes ready_bytes_;
  std::unique_ptr<ApiDoor> door_ = NewSocketDoor("bare", Role::kAdmin);
  std::unique_ptr<ApiListener> bare_listener_;
  std::unique_ptr<ApiListener> bytes_listener_;
  Stub bare_;
  Stub bytes_;
};

double P50(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

template <typename Work>
double Seconds(const Work& work) {
  const auto begin = steady_clock::now();
  work();
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

void GetThrottleState(benchmark::State& state) {
  Both both;
  std::vector<double> real;
  std::vector<double> bare;
  std::vector<double> bytes;
  for (auto _ : state) {
    bytes.push_back(Seconds([&] { Both::State(both.bytes()); }));
    bare.push_back(Seconds([&] { Both::State(both.bare()); }));
    real.push_back(Seconds([&] { Both::State(both.real()); }));
  }
  state.counters["ratio"] = P50(real) / P50(bare);
  state.counters["ratio_bytes"] = P50(real) / P50(bytes);
  state.counters["real_ms"] = P50(real) * 1e3;
  state.counters["bare_ms"] = P50(bare) * 1e3;
  state.counters["reply_kB"] = static_cast<double>(both.size()) / 1e3;
}
BENCHMARK(GetThrottleState)->MinTime(2)->UseRealTime()->Unit(benchmark::kMillisecond);

double CpuSeconds(int who) {
  rusage usage = {};
  CHECK(getrusage(who, &usage) == 0);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Load {
  double per_second = 0;
  double server_us = 0;  // CPU time of a call, of all threads but the clients'.
};

// Several clients that call without a pause, for about `seconds`.
Load Run(v1::ThrottleService::Stub& stub, double seconds) {
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  std::atomic<double> clients_cpu = 0;
  std::vector<std::thread> clients;
  const double cpu_before = CpuSeconds(RUSAGE_SELF);
  const double took = Seconds([&] {
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&] {
        for (; !stop; ++calls) Both::Check(stub);
        clients_cpu += CpuSeconds(RUSAGE_THREAD);
      });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
    for (std::thread& client : clients) client.join();
  });
  const double server_cpu = CpuSeconds(RUSAGE_SELF) - cpu_before - clients_cpu;
  return {calls / took, server_cpu / calls * 1e6};
}

// Threads that are started later stay there too.
void StayOnOneCore() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(0, &cores);
  CHECK(sched_setaffinity(0, sizeof(cores), &cores) == 0);
}

void CheckThrottle(benchmark::State& state) {
  cpu_set_t before;
  CHECK(sched_getaffinity(0, sizeof(before), &before) == 0);
  StayOnOneCore();
  Load real;
  Load bare;
  {
    Both both;
    for (auto _ : state) {
      bare = Run(both.bare(), 1);
      real = Run(both.real(), 1);
    }
  }
  sched_setaffinity(0, sizeof(before), &before);
  state.counters["per_second"] = real.per_second;
  state.counters["agent_us"] = real.server_us;
  state.counters["bare_per_second"] = bare.per_second;
  state.counters["bare_us"] = bare.server_us;
}
BENCHMARK(CheckThrottle)->Iterations(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace salve
