#include "cordon/testing/documents/declarations.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cordon::testing {
namespace {

namespace fs = std::filesystem;

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// Where `word` stands as a whole word, at or after `from`.
size_t FindWord(absl::string_view text, absl::string_view word,
                size_t from = 0) {
  for (size_t at = text.find(word, from); at != absl::string_view::npos;
       at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !IsWordCharacter(text[at - 1])) &&
        (end == text.size() || !IsWordCharacter(text[end]))) {
      return at;
    }
  }
  return absl::string_view::npos;
}

std::string WithoutComments(absl::string_view text) {
  std::string code;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::StrAppend(&code, line.substr(0, line.find("//")), "\n");
  }
  return code;
}

// What stands between the brace at `open` and the one that closes it.
absl::string_view Braced(absl::string_view text, size_t open) {
  int depth = 0;
  for (size_t at = open; at < text.size(); ++at) {
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) {
      return text.substr(open + 1, at - open - 1);
    }
  }
  return {};
}

// Without what follows "private:", outside of inner braces.
absl::string_view PublicPart(absl::string_view body) {
  int depth = 0;
  for (size_t at = 0; at < body.size(); ++at) {
    if (body[at] == '{') ++depth;
    if (body[at] == '}') --depth;
    if (depth == 0 && absl::StartsWith(body.substr(at), "private:")) {
      return body.substr(0, at);
    }
  }
  return body;
}

// Without what stands in inner braces.
std::string Outermost(absl::string_view body) {
  std::string outermost;
  int depth = 0;
  for (char c : body) {
    if (c == '{') ++depth;
    if (depth == 0) outermost.push_back(c);
    if (c == '}') --depth;
  }
  return outermost;
}

// The bodies of the types called `name` that `text` defines.
std::vector<absl::string_view> BodiesOf(absl::string_view text,
                                        absl::string_view name) {
  std::vector<absl::string_view> bodies;
  for (size_t at = FindWord(text, name); at != absl::string_view::npos;
       at = FindWord(text, name, at + 1)) {
    const size_t line = text.rfind('\n', at) + 1;
    const absl::string_view before =
        absl::StripAsciiWhitespace(text.substr(line, at - line));
    const bool is_type = absl::StartsWith(before, "class") ||
                         absl::StartsWith(before, "struct") ||
                         absl::StartsWith(before, "enum");
    const size_t end = text.find_first_of("{;", at);
    if (!is_type || end == absl::string_view::npos || text[end] != '{') {
      continue;
    }
    bodies.push_back(PublicPart(Braced(text, end)));
  }
  return bodies;
}

bool HasIn(absl::string_view text, const std::vector<std::string>& parts,
           size_t at) {
  if (at + 1 == parts.size()) {
    // A type's members, or anything at all.
    return FindWord(at == 0 ? std::string(text) : Outermost(text), parts[at]) !=
           absl::string_view::npos;
  }
  const std::vector<absl::string_view> bodies = BodiesOf(text, parts[at]);
  return std::any_of(bodies.begin(), bodies.end(), [&](absl::string_view body) {
    return HasIn(body, parts, at + 1);
  });
}

}  // namespace

std::vector<fs::path> HeadersBelow(const fs::path& folder) {
  std::vector<fs::path> headers;
  for (auto at = fs::recursive_directory_iterator(folder);
       at != fs::recursive_directory_iterator(); ++at) {
    if (at->is_directory() && at->path().filename() == "internal") {
      at.disable_recursion_pending();
    }
    if (at->is_regular_file() && at->path().extension() == ".h") {
      headers.push_back(at->path());
    }
  }
  std::sort(headers.begin(), headers.end());
  return headers;
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Declarations::Declarations(const std::vector<fs::path>& headers) {
  for (const fs::path& header : headers) {
    texts_.push_back(WithoutComments(ReadText(header)));
  }
}

Declarations::Declarations(absl::string_view header)
    : texts_({WithoutComments(header)}) {}

bool Declarations::Has(absl::string_view name) const {
  absl::ConsumePrefix(&name, "cordon::");
  if (!absl::ConsumePrefix(&name, "dtls::"))
    absl::ConsumePrefix(&name, "net::");
  // Others' names are used, not declared.
  const std::vector<std::string> parts =
      absl::StartsWith(name, "absl::")
          ? std::vector<std::string>{std::string(name)}
          : absl::StrSplit(name, "::");
  return !name.empty() && std::any_of(texts_.begin(), texts_.end(),
                                      [&](const std::string& text) {
                                        return HasIn(text, parts, 0);
                                      });
}

}  // namespace cordon::testing
