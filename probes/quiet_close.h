// Closes connections so that no TIME_WAIT is left on our side.
#ifndef SALVE_PROBES_QUIET_CLOSE_H_
#define SALVE_PROBES_QUIET_CLOSE_H_

namespace salve {

// Closes a TCP socket. If the peer has not closed first, the connection is reset: a port that
// waits a minute in TIME_WAIT would bound the rate of fresh connections to one target (about
// 470 a second), and nobody misses what a look leaves unread.
void CloseQuietly(int fd);

}  // namespace salve

#endif  // SALVE_PROBES_QUIET_CLOSE_H_
