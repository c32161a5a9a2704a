// A thin door to SQLite: one connection, its prepared statements, errors as Status. For one
// thread at a time; an object may move between threads.
#ifndef SALVE_CHANNELS_SQLITE_H_
#define SALVE_CHANNELS_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace salve {

// Errors of all calls below: kDataLoss: the file is damaged or no database; kResourceExhausted:
// the disk (or memory) is full; kDeadlineExceeded: interrupted by the connection's time limit;
// kUnavailable: anything else (locked, read-only, I/O error).
class SqliteStatement {
 public:
  // Sets parameter `index` (from 1). Texts and blobs are copied.
  void Bind(int index, int64_t value);
  void BindBlob(int index, absl::string_view value);
  void BindText(int index, absl::string_view value);
  void BindNull(int index);

  // True: there is a row. At the end, or at an error, the statement is reset.
  absl::StatusOr<bool> Step();
  // Runs a statement that gives no rows.
  absl::Status Run();
  void Reset();

  int64_t Integer(int column) const;
  absl::string_view Bytes(int column) const;  // Valid until the next Step or Reset.
  bool IsNull(int column) const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqliteConnection {
 public:
  enum class Mode {
    kReadOnly,
    kReadWrite,
    kAsItStands,  // Reads the file alone, without its log; makes no file and takes no lock. For one
                  // that nobody changes meanwhile.
    kExamine,     // The same, but what is in the log (PATH-wal) is seen too.
  };
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path, Mode mode);
  ~SqliteConnection();  // Requires: its statements are gone.
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  absl::Status Execute(const std::string& sql);
  absl::StatusOr<SqliteStatement> Prepare(absl::string_view sql);
  // The first column of the only row; 0 when there is none.
  absl::StatusOr<int64_t> QueryInteger(absl::string_view sql);

  int changes() const;  // Rows that the last statement changed.
  bool moved() const;   // The file at the path is no longer the one that is open.
  sqlite3* handle() { return db_; }

 private:
  explicit SqliteConnection(sqlite3* db) : db_(db) {}
  sqlite3* const db_;
};

}  // namespace salve

#endif  // SALVE_CHANNELS_SQLITE_H_
