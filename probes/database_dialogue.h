// What a client says to a database at the beginning. Pure, as all dialogues.
#ifndef SALVE_PROBES_DATABASE_DIALOGUE_H_
#define SALVE_PROBES_DATABASE_DIALOGUE_H_

#include <memory>
#include <string>

#include "probes/dialogue.h"

namespace salve {

// No text has a control character in it, but the password may have bytes beyond ASCII.
struct DatabaseDialogueOptions {
  std::string user;         // Postgres: needed. Redis: of AUTH with two words; empty: with one.
  std::string database;     // Postgres. Empty: the user's.
  std::string password;     // Empty: none.
  bool need_login = false;  // Only who is let in has seen enough. With a password always.
  bool start_tls = false;   // Postgres: TLS, asked for by SSLRequest.
  bool only_tls = false;    // Postgres: done as soon as TLS stands.
  std::string nonce;        // Postgres: of SCRAM, new each time.
};

std::unique_ptr<Dialogue> NewPostgresDialogue(DatabaseDialogueOptions options);
std::unique_ptr<Dialogue> NewRedisDialogue(DatabaseDialogueOptions options);

}  // namespace salve

#endif  // SALVE_PROBES_DATABASE_DIALOGUE_H_
