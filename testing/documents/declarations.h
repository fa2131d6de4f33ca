// Which names our public headers declare.
//
//   const Declarations headers(HeadersBelow(root / "dtls"));
//   EXPECT_TRUE(headers.Has("Connection::Handshake"));
#ifndef CORDON_TESTING_DOCUMENTS_DECLARATIONS_H_
#define CORDON_TESTING_DOCUMENTS_DECLARATIONS_H_

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cordon::testing {

// The files "*.h" in a folder and those below it, but for folders that are
// called "internal".
std::vector<std::filesystem::path> HeadersBelow(
    const std::filesystem::path& folder);

std::string ReadText(const std::filesystem::path& path);

// Knows as much of C++ as our headers need: comments do not count, nor what is
// private.
class Declarations {
 public:
  explicit Declarations(const std::vector<std::filesystem::path>& headers);
  // Of one text, for tests.
  explicit Declarations(absl::string_view header);

  // Of "A::B::c": whether there is a class, struct or enumeration A, in it a B,
  // and in that the word c. The names of our namespaces may precede it. A
  // single word must stand in some header.
  bool Has(absl::string_view name) const;

 private:
  std::vector<std::string> texts_;
};

}  // namespace cordon::testing

#endif  // CORDON_TESTING_DOCUMENTS_DECLARATIONS_H_
