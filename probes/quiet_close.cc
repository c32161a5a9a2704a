#include "probes/quiet_close.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace salve {

void CloseQuietly(int fd) {
  uint8_t state = 0;  // The first byte of tcp_info.
  socklen_t size = sizeof state;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) == 0 && state != TCP_CLOSE_WAIT) {
    const linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  close(fd);
}

}  // namespace salve
