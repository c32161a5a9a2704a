// A plain main for any LLVMFuzzerTestOneInput, so that fuzz targets are run
// by `bazel test` with any compiler:
//   X_fuzz_test [--seconds N] [--seed N] [--dict FILE] CORPUS...
// First every file of the corpus (files, or folders searched to the bottom),
// then mutations of it for N seconds (default 3; 0: the corpus only). It knows
// nothing of coverage: real libFuzzer takes its place with --config=fuzz.
//
// The seed is printed. An input that crashes, hangs (10 s) or trips a
// sanitizer is dumped to stderr as hex and kept as a file in
// $TEST_UNDECLARED_OUTPUTS_DIR, $TEST_TMPDIR or the current folder.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr size_t kInputBytesMax = 64 * 1024;
constexpr unsigned kHangSeconds = 10;
constexpr size_t kMutationsMax = 5;  // Stacked on one input.
constexpr size_t kDumpedBytesMax = 4096;

struct Options {
  double seconds = 3;
  uint64_t seed = std::random_device{}();
  std::string dict;
  std::vector<std::string> corpus;
};

// What a signal handler can reach: set before each run, read when it crashes.
const uint8_t* g_input = nullptr;
size_t g_input_bytes = 0;
uint64_t g_run = 0;
char g_crash_path[4096];

void Put(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(70);
}

void PutNumber(uint64_t number) {
  char digits[21] = {};
  char* p = digits + 20;
  do *--p = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  Put(p);
}

// Only calls that are safe in a signal handler.
void DumpInput() {
  if (g_input == nullptr) return;
  Put("\nfuzz: the input of run ");
  PutNumber(g_run);
  Put(", ");
  PutNumber(g_input_bytes);
  Put(" bytes, as hex:\n");
  for (size_t i = 0; i < std::min(g_input_bytes, kDumpedBytesMax); ++i) {
    const char pair[] = {"0123456789abcdef"[g_input[i] >> 4], "0123456789abcdef"[g_input[i] & 15],
                         '\0'};
    Put(pair);
  }
  Put(g_input_bytes > kDumpedBytesMax ? "... (the rest is in the file)\n" : "\n");
  const int file = open(g_crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && write(file, g_input, g_input_bytes) == static_cast<ssize_t>(g_input_bytes)) {
    Put("fuzz: kept in ");
    Put(g_crash_path);
    Put("\n");
  }
  g_input = nullptr;  // An abort may follow a sanitizer's report: one dump is enough.
}

void OnSignal(int signal) {
  if (signal == SIGALRM) Put("\nfuzz: one input took too long\n");
  DumpInput();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void InstallHandlers() {
  const char* folder = ".";
  for (const char* name : {"TEST_TMPDIR", "TEST_UNDECLARED_OUTPUTS_DIR"}) {
    if (const char* value = std::getenv(name)) folder = value;
  }
  std::snprintf(g_crash_path, sizeof g_crash_path, "%s/crash-%d", folder, getpid());
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK;
  static uint8_t stack[64 * 1024];  // A stack overflow leaves no room for a handler.
  const stack_t alternative = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
  sigaltstack(&alternative, nullptr);
  sigaction(SIGABRT, &action, nullptr);
  sigaction(SIGALRM, &action, nullptr);
  if (__sanitizer_set_death_callback != nullptr) {
    // Its own handlers say more of these signals than ours could.
    __sanitizer_set_death_callback(DumpInput);
    return;
  }
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, nullptr);
}

void Run(const std::string& input) {
  // An allocation of exactly this size shows a read past its end to ASan.
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[input.size()]);
  if (!input.empty()) std::memcpy(copy.get(), input.data(), input.size());
  g_input = copy.get();
  g_input_bytes = input.size();
  ++g_run;
  alarm(kHangSeconds);
  LLVMFuzzerTestOneInput(copy.get(), input.size());
  g_input = nullptr;
}

[[noreturn]] void Refuse(const std::string& why) {
  std::fprintf(stderr, "fuzz: %s\n", why.c_str());
  std::exit(2);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Refuse("cannot read " + path);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  return content.substr(0, kInputBytesMax);
}

std::vector<std::string> ReadCorpus(const std::vector<std::string>& places) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  for (const std::string& place : places) {
    if (!fs::exists(place)) Refuse("no such file or folder: " + place);
    if (!fs::is_directory(place)) {
      paths.push_back(place);
      continue;
    }
    const size_t before = paths.size();
    for (const auto& entry : fs::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) paths.push_back(entry.path().string());
    }
    if (paths.size() == before) Refuse("no file in the corpus folder " + place);
  }
  std::sort(paths.begin(), paths.end());  // The seed alone must decide what is tried.
  std::vector<std::string> inputs;
  for (const std::string& path : paths) inputs.push_back(ReadFile(path));
  return inputs;
}

// libFuzzer's form: one  name="value"  or  "value"  a line, with \\, \" and
// \xAB in it; '#' begins a comment line.
std::vector<std::string> ReadDict(const std::string& path) {
  std::vector<std::string> tokens;
  std::ifstream file(path);
  if (!file) Refuse("cannot read " + path);
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find('"');
    const size_t end = line.rfind('"');
    if (line.empty() || line[0] == '#' || begin == end) continue;
    std::string token;
    for (size_t i = begin + 1; i < end; ++i) {
      if (line[i] != '\\') {
        token += line[i];
      } else if (line[i + 1] == 'x' && i + 3 < end) {
        token += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        token += line[++i];
      }
    }
    if (!token.empty()) tokens.push_back(token);
  }
  if (tokens.empty()) Refuse("no token in " + path);
  return tokens;
}

class Mutator {
 public:
  Mutator(uint64_t seed, std::vector<std::string> corpus, std::vector<std::string> dict)
      : random_(seed), corpus_(std::move(corpus)), dict_(std::move(dict)) {
    if (corpus_.empty()) corpus_.emplace_back();
  }

  std::string Next() {
    std::string input = Any(corpus_);
    for (size_t left = 1 + Below(kMutationsMax); left > 0; --left) Mutate(input);
    input.resize(std::min(input.size(), kInputBytesMax));
    return input;
  }

 private:
  size_t Below(size_t bound) { return random_() % bound; }
  const std::string& Any(const std::vector<std::string>& of) { return of[Below(of.size())]; }
  char Byte() { return static_cast<char>(Below(256)); }

  // A random part of `text`, mostly short: long ones wipe out what is learnt.
  std::string Part(const std::string& text) {
    if (text.empty()) return text;
    return text.substr(Below(text.size()), 1 + Below(Below(4) == 0 ? text.size() : 16));
  }

  // What may be put in: a token, a number at an edge, random bytes or a part of a known input.
  std::string Piece(const std::string& input) {
    static const std::vector<std::string> kEdges = {
        "0",     "-1",         "65535",        "65536",
        "1e308", "2147483647", "4294967296",   "9223372036854775807",
        "-2.5",  "nan",        "\n",           std::string(1, '\0'),
        "\xff",  "\xc3\x28",   "\xef\xbb\xbf", "%s",
    };
    switch (Below(dict_.empty() ? 4 : 8)) {
      case 0:
        return Any(kEdges);
      case 1:
        return std::string(1 + Below(Below(16) == 0 ? 4096 : 4), Byte());
      case 2:
        return Part(input);
      case 3:
        return Part(Any(corpus_));
      default:
        return Any(dict_);
    }
  }

  void Mutate(std::string& input) {
    const size_t at = Below(input.size() + 1);
    switch (input.empty() ? 0 : Below(7)) {
      case 0:
      case 1:
        input.insert(at, Piece(input));
        break;
      case 2: {
        const std::string piece = Piece(input);
        input.replace(at, piece.size(), piece);
        break;
      }
      case 3:
        input.erase(at, Part(input).size());
        break;
      case 4:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 5:
        if (at < input.size()) input[at] = Byte();
        break;
      case 6: {  // Splice: our beginning, another's end.
        const std::string& other = Any(corpus_);
        input = input.substr(0, at) + other.substr(Below(other.size() + 1));
        break;
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> corpus_;
  const std::vector<std::string> dict_;
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name.rfind("--", 0) != 0) {
      options.corpus.push_back(name);
      continue;
    }
    std::string value;
    if (const size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (++i < argc) {
      value = argv[i];
    }
    if (value.empty()) Refuse(name + " needs a value");
    if (name == "--dict") {
      options.dict = value;
      continue;
    }
    char* end = nullptr;
    if (name == "--seconds") {
      options.seconds = std::strtod(value.c_str(), &end);
    } else if (name == "--seed") {
      options.seed = std::strtoull(value.c_str(), &end, 10);
    } else {
      Refuse("unknown flag " + name);
    }
    if (*end != '\0') Refuse(name + ": not a number: " + value);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  const Options options = ParseOptions(argc, argv);
  std::vector<std::string> corpus = ReadCorpus(options.corpus);
  std::vector<std::string> dict;
  if (!options.dict.empty()) dict = ReadDict(options.dict);
  std::printf("fuzz: seed %llu, %zu inputs in the corpus, %zu tokens\n",
              static_cast<unsigned long long>(options.seed), corpus.size(), dict.size());
  std::fflush(stdout);
  InstallHandlers();
  for (const std::string& input : corpus) Run(input);

  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::chrono::duration<double>(options.seconds);
  Mutator mutator(options.seed, std::move(corpus), std::move(dict));
  while (steady_clock::now() < end) Run(mutator.Next());
  alarm(0);
  std::printf("fuzz: %llu runs, nothing found\n", static_cast<unsigned long long>(g_run));
  return 0;
}
