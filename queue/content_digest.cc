#include "queue/content_digest.h"

#include <sqlite3.h>

#include <string>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace salve {
namespace {

class Prepared {
 public:
  Prepared(SqliteConnection& database, const std::string& sql) : database_(database.handle()) {
    code_ = sqlite3_prepare_v2(database_, sql.c_str(), -1, &row_, nullptr);
  }
  ~Prepared() { sqlite3_finalize(row_); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  bool Next() { return code_ == SQLITE_OK && (step_ = sqlite3_step(row_)) == SQLITE_ROW; }
  sqlite3_stmt* row() { return row_; }
  // After the last Next.
  absl::Status status() const {
    if (code_ == SQLITE_OK && step_ == SQLITE_DONE) return absl::OkStatus();
    const int code = (code_ == SQLITE_OK ? step_ : code_) & 0xff;
    const std::string message = sqlite3_errmsg(database_);
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? absl::DataLossError(message)
                                                           : absl::UnavailableError(message);
  }

 private:
  sqlite3* const database_;
  sqlite3_stmt* row_ = nullptr;
  int code_ = SQLITE_OK;
  int step_ = SQLITE_DONE;
};

absl::string_view Bytes(sqlite3_stmt* row, int column) {
  const void* bytes = sqlite3_column_blob(row, column);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(row, column))};
}

uint64_t DigestOf(sqlite3_stmt* row, uint64_t digest) {
  const int columns = sqlite3_column_count(row);
  for (int i = 0; i < columns; ++i) {
    const int type = sqlite3_column_type(row, i);
    digest = type == SQLITE_INTEGER ? absl::HashOf(digest, type, sqlite3_column_int64(row, i))
                                    : absl::HashOf(digest, type, Bytes(row, i));
  }
  return digest;
}

// Of all rows that `sql` gives.
absl::StatusOr<uint64_t> DigestOf(SqliteConnection& database, const std::string& sql,
                                  uint64_t digest) {
  Prepared statement(database, sql);
  while (statement.Next()) digest = DigestOf(statement.row(), digest);
  RETURN_IF_ERROR(statement.status());
  return digest;
}

}  // namespace

absl::StatusOr<uint64_t> TableDigest(SqliteConnection& database, const std::string& table) {
  // Over the table, in the order of its key; an index may have another.
  return DigestOf(database, absl::StrCat("SELECT * FROM \"", table, "\" NOT INDEXED"), 0);
}

absl::StatusOr<uint64_t> RestDigest(SqliteConnection& database, const std::string& but_table) {
  std::vector<std::string> tables;
  uint64_t digest = 0;
  Prepared schema(database, "SELECT name, type, sql FROM sqlite_master ORDER BY name");
  while (schema.Next()) {
    digest = DigestOf(schema.row(), digest);
    if (Bytes(schema.row(), 1) == "table") tables.emplace_back(Bytes(schema.row(), 0));
  }
  RETURN_IF_ERROR(schema.status());
  for (const std::string& table : tables) {
    if (table == but_table) continue;
    ASSIGN_OR_RETURN(const uint64_t of_table, TableDigest(database, table));
    digest = absl::HashOf(digest, of_table);
  }
  for (const char* pragma : {"PRAGMA user_version", "PRAGMA application_id"}) {
    ASSIGN_OR_RETURN(digest, DigestOf(database, pragma, digest));
  }
  return digest;
}

}  // namespace salve
