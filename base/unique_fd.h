// UniqueFd: owns a file descriptor and closes it.
#ifndef SALVE_BASE_UNIQUE_FD_H_
#define SALVE_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace salve {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  // Gives the descriptor away.
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace salve

#endif  // SALVE_BASE_UNIQUE_FD_H_
