// RETURN_IF_ERROR and ASSIGN_OR_RETURN: a Status that is not OK ends the function with it.
#ifndef SALVE_BASE_STATUS_MACROS_H_
#define SALVE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RETURN_IF_ERROR(expr)                                                           \
  do {                                                                                  \
    if (absl::Status salve_status_ = (expr); !salve_status_.ok()) return salve_status_; \
  } while (false)

#define SALVE_CONCAT_INNER_(a, b) a##b
#define SALVE_CONCAT_(a, b) SALVE_CONCAT_INNER_(a, b)
#define ASSIGN_OR_RETURN(lhs, expr) \
  SALVE_ASSIGN_OR_RETURN_(SALVE_CONCAT_(salve_statusor_, __LINE__), lhs, expr)
#define SALVE_ASSIGN_OR_RETURN_(tmp, lhs, expr)  \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)

#endif  // SALVE_BASE_STATUS_MACROS_H_
