#include "base/spawn.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

// What kept a child from its program, told to the parent through a pipe.
struct ChildError {
  enum Step : int { kBecomeUser, kExec } step;
  int error;
};

// Takes what the kernel would hand on through exec although the user has no right to it.
// The system calls themselves: libc's would tell the agent's other threads, which are not here.
int DropCapabilities(bool permitted_too) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return errno;
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return errno;
  for (__user_cap_data_struct& set : sets) {
    set.inheritable = 0;
    if (permitted_too) set.effective = set.permitted = 0;
  }
  return syscall(SYS_capset, &header, sets) == 0 ? 0 : errno;
}

// 0, or the errno of what failed. In the child.
int BecomeUser(const UserIdentity& user) {
  umask(022);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  // The agent's own user needs no right for it, and keeps what it may.
  const bool is_other = user.uid != geteuid() || user.gid != getegid();
  if (!is_other) return DropCapabilities(/*permitted_too=*/false);
  if (syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0) return errno;
  if (syscall(SYS_setresgid, user.gid, user.gid, user.gid) != 0) return errno;
  if (syscall(SYS_setresuid, user.uid, user.uid, user.uid) != 0) return errno;
  return DropCapabilities(/*permitted_too=*/true);
}

// Descriptor 3 of a forked child is its gate or, without one, the pipe for its error.
constexpr int kThird = 3;

[[noreturn]] void Fail(const SpawnRequest& request, ChildError error) {
  if (request.gate < 0) {
    (void)!write(kThird, &error, sizeof(error));
  } else if (const char* text = strerrordesc_np(error.error); text != nullptr) {
    (void)!write(2, text, strlen(text));
  }
  _exit(kExecFailed);
}

void WaitAtGate() {
  char byte;
  ssize_t n;
  do {
    n = read(kThird, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(kExecFailed);
  close(kThird);
}

// The child's side. Other threads of the agent may have held any lock at the fork: only what
// is async-signal-safe may be called here, so nothing allocates.
[[noreturn]] void PrepareAndExec(const SpawnRequest& request, int report, const char* program,
                                 char* const argv[], char* const environment[]) {
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
  dup3(request.gate >= 0 ? request.gate : report, kThird, O_CLOEXEC);
  // Also closes the gates of other held children, which must see the agent's end.
  close_range(kThird + 1, ~0U, 0);

  if (request.user != nullptr) {
    if (const int error = BecomeUser(*request.user); error != 0) {
      Fail(request, {ChildError::kBecomeUser, error});
    }
  }
  if (request.gate >= 0) WaitAtGate();
  execve(program, argv, environment);
  Fail(request, {ChildError::kExec, errno});
}

absl::Status SpawnErrorAs(const UserIdentity& user, ChildError error, absl::string_view program) {
  const std::string name = absl::StrCat(program, "' as user '", user.name);
  if (error.step == ChildError::kExec || error.error != EPERM) {
    return SpawnError(error.error, name);
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "cannot run '", name, "': only root, or an agent with CAP_SETUID and CAP_SETGID, ",
      "may become another user"));
}

absl::StatusOr<pid_t> Fork(const SpawnRequest& request, int report, const std::string& program,
                           char* const argv[], char* const environment[]) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) PrepareAndExec(request, report, program.c_str(), argv, environment);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return SpawnError(error, request.argv[0]);
  return pid;
}

// Forks, and waits as posix_spawn does until the program runs or cannot.
absl::StatusOr<pid_t> SpawnAs(const SpawnRequest& request, const std::string& program,
                              char* const argv[], char* const environment[]) {
  ASSIGN_OR_RETURN(Pipe report, OpenPipe());
  ASSIGN_OR_RETURN(const pid_t pid,
                   Fork(request, report.write_end.get(), program, argv, environment));
  report.write_end.reset();
  ChildError error;
  ssize_t n;
  do {
    n = read(report.read_end.get(), &error, sizeof(error));
  } while (n < 0 && errno == EINTR);
  if (n != sizeof(error)) return pid;  // Closed by the exec.
  waitpid(pid, nullptr, 0);
  return SpawnErrorAs(*request.user, error, request.argv[0]);
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
  if (request.gate >= 0) return Fork(request, -1, program, argv.data(), environment.data());
  return request.user == nullptr ? SpawnNow(request, program, argv.data(), environment.data())
                                 : SpawnAs(request, program, argv.data(), environment.data());
}

}  // namespace salve
