"""cc_grpc_library: C++ gRPC stubs of the services in BASE.proto, next to its cc_proto_library."""

def cc_grpc_library(name, base, deps, **kwargs):
    path = native.package_name() + "/" + base + ".proto"
    native.genrule(
        name = name + "_gen",
        srcs = native.glob(["*.proto"]),
        outs = [base + ".grpc.pb.cc", base + ".grpc.pb.h"],
        cmd = "/usr/bin/protoc -I. --grpc_out=$(GENDIR) " +
              "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin " + path,
    )
    native.cc_library(
        name = name,
        srcs = [base + ".grpc.pb.cc"],
        hdrs = [base + ".grpc.pb.h"],
        deps = deps + ["@system//:grpc"],
        **kwargs
    )
