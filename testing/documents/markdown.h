// Reads what tests compare of our documents: tables, blocks of code, and words
// set as code.
//
//   const Markdown readme = ReadMarkdown(Runfile("README.md"));
//   for (const CodeBlock& block : readme.blocks) {
//     if (block.language == "sh") Run(block.lines);
//   }
//
// It knows the Markdown that our documents are written in, and no other.
#ifndef CORDON_TESTING_DOCUMENTS_MARKDOWN_H_
#define CORDON_TESTING_DOCUMENTS_MARKDOWN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cordon::testing {

struct CodeBlock {
  // What follows the three ticks: "cpp", "sh", ...
  std::string language;
  std::vector<std::string> lines;
  // The text of the heading of level 2 that it stands under, and its line.
  std::string section;
  int line = 0;
};

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::string section;
};

struct Markdown {
  std::vector<CodeBlock> blocks;
  std::vector<Table> tables;
  std::vector<std::string> headings;
  // All lines outside of blocks of code.
  std::string prose;
};

Markdown ParseMarkdown(absl::string_view text);
// The same of a file.
Markdown ReadMarkdown(const std::string& path);

// The words of a text that are set as code, between single ticks.
std::vector<std::string> CodeWords(absl::string_view text);
// The targets of its links.
std::vector<std::string> Links(absl::string_view text);
// As GitHub makes it of a heading: "Where it is" gives "where-it-is".
std::string AnchorOf(absl::string_view heading);

}  // namespace cordon::testing

#endif  // CORDON_TESTING_DOCUMENTS_MARKDOWN_H_
