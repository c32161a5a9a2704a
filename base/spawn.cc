#include "base/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/host.h"
#include "base/status_macros.h"

namespace salve {
namespace {

constexpr int kExecFailed = 126;

absl::Status SpawnError(int error, absl::string_view program) {
  const absl::Status status = ErrnoStatus(error, absl::StrCat("cannot run '", program, "'"));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(status.message());
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case E2BIG:
      return absl::ResourceExhaustedError(status.message());
    default:  // EACCES, EPERM, ENOEXEC, ETXTBSY, …
      return absl::PermissionDeniedError(status.message());
  }
}

// 0 when `path` is a program that we may run, else the errno that exec would give.
int CheckProgram(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EACCES;
  return access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

absl::string_view SearchPath(const std::vector<std::string>& environment) {
  for (const std::string& variable : environment) {
    absl::string_view value = variable;
    if (absl::ConsumePrefix(&value, "PATH=")) return value;
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// The file to run, by the rules of execvp.
absl::StatusOr<std::string> FindProgram(const SpawnRequest& request) {
  if (request.argv.empty()) return absl::NotFoundError("a command without a program");
  const std::string& name = request.argv[0];
  if (absl::StrContains(name, '/')) {
    if (const int error = CheckProgram(name); error != 0) return SpawnError(error, name);
    return name;
  }
  int failure = ENOENT;
  for (absl::string_view folder : absl::StrSplit(SearchPath(request.environment), ':')) {
    std::string path = absl::StrCat(folder.empty() ? "." : folder, "/", name);
    const int error = CheckProgram(path);
    if (error == 0) return path;
    if (error == EACCES) failure = EACCES;
  }
  return SpawnError(failure, name);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> SpawnNow(const SpawnRequest& request, const std::string& program,
                               char* const argv[], char* const environment[]) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, request.input, 0);
  posix_spawn_file_actions_adddup2(&actions, request.output, 1);
  posix_spawn_file_actions_adddup2(&actions, request.error_output, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return SpawnError(error, request.argv[0]);
  return pid;
}

// The child's side. Other threads of the agent may have held any lock at the fork: only what
// is async-signal-safe may be called here, so nothing allocates.
[[noreturn]] void WaitAtGateAndExec(const SpawnRequest& request, const char* program,
                                    char* const argv[], char* const environment[]) {
  constexpr int kGate = 3;
  setsid();
  // Handlers first: one of the agent's must not run in the child once signals are let in.
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  for (int signum = 1; signum < NSIG; ++signum) sigaction(signum, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  dup2(request.input, 0);
  dup2(request.output, 1);
  dup2(request.error_output, 2);
  dup2(request.gate, kGate);
  // Also closes the gates of other held children, which must see the agent's end.
  close_range(kGate + 1, ~0U, 0);

  char byte;
  ssize_t n;
  do {
    n = read(kGate, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(kExecFailed);
  close(kGate);
  execve(program, argv, environment);
  const char* text = strerrordesc_np(errno);
  if (text != nullptr) (void)!write(2, text, strlen(text));
  _exit(kExecFailed);
}

absl::StatusOr<pid_t> SpawnHeld(const SpawnRequest& request, const std::string& program,
                                char* const argv[], char* const environment[]) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) WaitAtGateAndExec(request, program.c_str(), argv, environment);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return SpawnError(error, request.argv[0]);
  return pid;
}

// Moves descriptors out of the way of 0 to 3, which the children's own ones become.
absl::StatusOr<Pipe> MoveUp(const int fds[2]) {
  UniqueFd moved[2] = {UniqueFd(fds[0]), UniqueFd(fds[1])};
  for (UniqueFd& fd : moved) {
    if (fd.get() <= 3) fd = UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 4));
    if (!fd.is_open()) return ErrnoStatus(errno, "cannot open a pipe");
  }
  return Pipe{std::move(moved[0]), std::move(moved[1])};
}

}  // namespace

absl::StatusOr<Pipe> OpenPipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot open a pipe");
  return MoveUp(fds);
}

absl::StatusOr<Pipe> OpenGate() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return ErrnoStatus(errno, "cannot open a socket pair");
  }
  return MoveUp(fds);
}

void PassGate(int write_end) {
  // Fails when the child was killed meanwhile, and then there is nothing to let through.
  (void)!send(write_end, "x", 1, MSG_NOSIGNAL);
}

absl::StatusOr<pid_t> Spawn(const SpawnRequest& request) {
  ASSIGN_OR_RETURN(const std::string program, FindProgram(request));
  const std::vector<char*> argv = Pointers(request.argv);
  const std::vector<char*> environment = Pointers(request.environment);
  return request.gate < 0 ? SpawnNow(request, program, argv.data(), environment.data())
                          : SpawnHeld(request, program, argv.data(), environment.data());
}

}  // namespace salve
