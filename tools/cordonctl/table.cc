#include "cordon/tools/cordonctl/table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cordon/tools/cordonctl/printable.h"

namespace cordon::tools::ctl {
namespace {

constexpr size_t kGap = 2;

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::Add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) {
    if (cell.empty()) cell.assign(1, '-');
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Render(const Style& style) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = DisplayWidth(columns_[i].title);
    for (const auto& row : rows_) {
      width = std::max(width, DisplayWidth(row[i]));
    }
    widths.push_back(width);
  }
  std::string text;
  const auto add_row = [&](const std::vector<std::string>& cells, Colour c) {
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - DisplayWidth(cells[i]), ' ');
      const bool right = columns_[i].align == Align::kRight;
      const bool last = i + 1 == cells.size();
      absl::StrAppend(&text, right ? padding : "", style.In(c, cells[i]),
                      right || last ? "" : padding,
                      last ? "\n" : std::string(kGap, ' '));
    }
  };
  std::vector<std::string> titles;
  titles.reserve(columns_.size());
  for (const Column& column : columns_) titles.push_back(column.title);
  add_row(titles, Colour::kBold);
  for (const auto& row : rows_) add_row(row, Colour::kPlain);
  return text;
}

void Fields::Add(std::string label, std::string value) {
  if (value.empty()) return;
  fields_.emplace_back(std::move(label), std::move(value));
}

std::string Fields::Render(const Style& style) const {
  size_t width = 0;
  for (const auto& [label, value] : fields_) {
    width = std::max(width, DisplayWidth(label));
  }
  std::string text;
  for (const auto& [label, value] : fields_) {
    absl::StrAppend(&text, style.In(Colour::kBold, absl::StrCat(label, ":")),
                    std::string(width - DisplayWidth(label) + kGap, ' '), value,
                    "\n");
  }
  return text;
}

}  // namespace cordon::tools::ctl
