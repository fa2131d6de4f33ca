// A table for people: columns that stand below each other.
//
//   Table table({{"NAME"}, {"SESSIONS", Align::kRight}});
//   table.Add({Printable(listener.name()), FormatCount(listener.sessions())});
//   Print(table.Render(style));
#ifndef CORDON_TOOLS_CORDONCTL_TABLE_H_
#define CORDON_TOOLS_CORDONCTL_TABLE_H_

#include <string>
#include <utility>
#include <vector>

#include "cordon/tools/cordonctl/style.h"

namespace cordon::tools::ctl {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // Printable text; an empty cell is shown as "-".
  void Add(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }
  // Lines that end with a newline. Nothing stands behind the last cell.
  std::string Render(const Style& style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "label:  value" lines below each other; a field without a value is left out.
class Fields {
 public:
  void Add(std::string label, std::string value);
  std::string Render(const Style& style) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace cordon::tools::ctl

#endif  // CORDON_TOOLS_CORDONCTL_TABLE_H_
