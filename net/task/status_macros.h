// Error propagation in coroutines (the usual macros `return`, which a
// coroutine cannot).
//
//   CO_RETURN_IF_ERROR(co_await connection.Handshake());
//   CO_ASSIGN_OR_RETURN(dtls::Listener listener, dtls::Listener::Bind(...));
//
// `RETURN_IF_ERROR` and `ASSIGN_OR_RETURN` are kept out of public headers and
// prefixed here, so that they collide with nobody's.
#ifndef CORDON_NET_TASK_STATUS_MACROS_H_
#define CORDON_NET_TASK_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CORDON_STATUS_CONCAT_INNER(a, b) a##b
#define CORDON_STATUS_CONCAT(a, b) CORDON_STATUS_CONCAT_INNER(a, b)

// `lhs` may be a declaration, which takes no parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)

// Evaluates `expr`, an `absl::Status`, and `co_return`s it unless it is OK. A
// single statement: as the branch of an `if` it leaves an `else` to that `if`.
#define CO_RETURN_IF_ERROR(expr)                                    \
  do {                                                              \
    if (::absl::Status cordon_status = (expr); !cordon_status.ok()) \
      co_return cordon_status;                                      \
  } while (false)

// Evaluates `expr`, an `absl::StatusOr<T>`; `co_return`s its status unless it
// is OK, and else moves the value into `lhs`, which may declare a variable.
// More than one statement, so that it does: not the branch of an `if` without
// braces, which does not compile.
#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  CORDON_CO_ASSIGN_OR_RETURN(          \
      CORDON_STATUS_CONCAT(cordon_status_or_, __LINE__), lhs, expr)
#define CORDON_CO_ASSIGN_OR_RETURN(temporary, lhs, expr)        \
  auto temporary = (expr);                                      \
  if (!temporary.ok()) co_return std::move(temporary).status(); \
  lhs = *std::move(temporary)

// The same for ordinary functions.
#define CORDON_RETURN_IF_ERROR(expr)                                \
  do {                                                              \
    if (::absl::Status cordon_status = (expr); !cordon_status.ok()) \
      return cordon_status;                                         \
  } while (false)
#define CORDON_ASSIGN_OR_RETURN(lhs, expr) \
  CORDON_ASSIGN_OR_RETURN_IMPL(            \
      CORDON_STATUS_CONCAT(cordon_status_or_, __LINE__), lhs, expr)
#define CORDON_ASSIGN_OR_RETURN_IMPL(temporary, lhs, expr)   \
  auto temporary = (expr);                                   \
  if (!temporary.ok()) return std::move(temporary).status(); \
  lhs = *std::move(temporary)

// NOLINTEND(bugprone-macro-parentheses)

#endif  // CORDON_NET_TASK_STATUS_MACROS_H_
