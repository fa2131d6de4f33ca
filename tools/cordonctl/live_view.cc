#include "cordon/tools/cordonctl/live_view.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cordon/tools/cordonctl/histogram.h"
#include "cordon/tools/cordonctl/printable.h"
#include "cordon/tools/cordonctl/sparkline.h"
#include "cordon/tools/cordonctl/statistics_view.h"
#include "cordon/tools/cordonctl/units.h"

namespace cordon::tools::ctl {
namespace {

constexpr size_t kLabelWidth = 16;
constexpr size_t kValueWidth = 13;
constexpr size_t kPeakWidth = 16;
constexpr size_t kMostCauses = 6;

// One line, that ends where the terminal does.
class Line {
 public:
  Line(size_t columns, const Style& style) : left_(columns), style_(style) {}

  Line& Add(absl::string_view text, Colour colour = Colour::kPlain) {
    const std::string fitting = Shortened(text, left_);
    left_ -= DisplayWidth(fitting);
    text_ += style_.In(colour, fitting);
    return *this;
  }
  Line& AddPadded(absl::string_view text, size_t width, bool right,
                  Colour colour = Colour::kPlain) {
    const size_t used = DisplayWidth(text);
    const std::string padding(used < width ? width - used : 0, ' ');
    if (right) Add(padding);
    Add(text, colour);
    if (!right) Add(padding);
    return *this;
  }
  size_t left() const { return left_; }
  const std::string& text() const { return text_; }

 private:
  size_t left_;
  const Style& style_;
  std::string text_;
};

class Drawing {
 public:
  Drawing(const History& history, FrameSize size, const Style& style)
      : history_(history), size_(size), style_(style) {}

  void Head(absl::string_view target) {
    const auto& now = history_.now();
    std::string rest;
    if (now.has_started()) {
      rest = absl::StrCat(
          "  up ", FormatAge(ToTime(now.time()) - ToTime(now.started())));
    }
    absl::StrAppend(&rest, "  ", FormatClock(now.time()));
    constexpr absl::string_view kName = "cordon ";
    constexpr absl::string_view kKeys = "   q quits";
    const size_t others = kName.size() + DisplayWidth(rest) + kKeys.size();
    Line line = NewLine();
    line.Add(kName, Colour::kBold);
    // A long path must not push the rest out of sight.
    line.Add(Shortened(target, size_.columns - std::min(size_.columns, others)),
             Colour::kCyan);
    line.Add(rest).Add(kKeys, Colour::kDim);
    Done(line);

    Line second = NewLine();
    const auto& total = now.total();
    second.Add("sessions ").Add(FormatCount(total.sessions()), Colour::kBold);
    second.Add(absl::StrCat(
        "   half-open ", FormatCount(total.sessions_half_open()), "   memory ",
        FormatBytes(static_cast<double>(now.process().resident_bytes()))));
    if (history_.has_rates()) {
      second.Add(absl::StrFormat("   cpu %.0f%%", history_.cpu() * 100));
    }
    Done(second);
    Empty();
  }

  void Graph(const char* label, double Rates::* rate, bool bytes,
             Colour colour) {
    const std::vector<double> series = history_.Series(rate);
    const auto text = [bytes](double value) {
      return absl::StrCat(bytes ? FormatBytes(value) : FormatQuantity(value),
                          "/s");
    };
    Line line = NewLine();
    line.AddPadded(label, kLabelWidth, /*right=*/false);
    line.AddPadded(series.empty() ? "-" : text(series.back()), kValueWidth,
                   /*right=*/true, Colour::kBold);
    line.Add("  ");
    // The peak is worth more than a graph of a few columns.
    if (line.left() > kPeakWidth + 8) {
      const size_t width = line.left() - kPeakWidth;
      line.Add(Sparkline(series, width, style_.unicode), colour);
      double peak = 0;
      const size_t shown = std::min(width, series.size());
      for (size_t i = series.size() - shown; i < series.size(); ++i) {
        peak = std::max(peak, series[i]);
      }
      if (shown > 0) {
        line.Add(absl::StrCat(" max ", text(peak)), Colour::kDim);
      }
    }
    Done(line);
  }

  void HandshakeTimes() {
    const auto& all = history_.now().total().handshake_time();
    const control::v1::Histogram recent = history_.HandshakeTimes();
    Line line = NewLine();
    line.AddPadded("handshake time", kLabelWidth, /*right=*/false);
    line.Add(absl::StrCat("now p50 ", QuantileText(recent, 0.5), " p99 ",
                          QuantileText(recent, 0.99), "   all p50 ",
                          QuantileText(all, 0.5), " p99 ",
                          QuantileText(all, 0.99)));
    const std::vector<double> counts(all.counts().begin(), all.counts().end());
    if (CountOf(all) > 0 && line.left() > counts.size() + 3) {
      line.Add("   ").Add(Sparkline(counts, counts.size(), style_.unicode),
                          Colour::kCyan);
    }
    Done(line);
  }

  void Failures() {
    const auto causes = Largest(history_.now().total().handshakes_failed());
    if (causes.empty()) return;
    Empty();
    Line title = NewLine();
    title.Add("handshakes failed by", Colour::kBold);
    Done(title);
    for (size_t i = 0; i < std::min(causes.size(), kMostCauses); ++i) {
      const auto& [cause, count] = causes[i];
      const double rate = history_.FailureRate(cause);
      Line line = NewLine();
      line.Add("  ").AddPadded(cause, kLabelWidth - 2, /*right=*/false);
      line.AddPadded(FormatCount(count), kValueWidth, /*right=*/true);
      line.AddPadded(absl::StrCat(FormatQuantity(rate), "/s"), kValueWidth,
                     /*right=*/true, rate > 0 ? Colour::kRed : Colour::kDim);
      Done(line);
    }
  }

  void Limits() {
    const auto limits = Largest(history_.now().total().limits_hit());
    if (limits.empty()) return;
    Line line = NewLine();
    line.AddPadded("limits hit", kLabelWidth, /*right=*/false);
    for (const auto& [name, count] : limits) {
      line.Add(absl::StrCat(name, " ", FormatCount(count), "  "),
               Colour::kYellow);
    }
    Empty();
    Done(line);
  }

  void Listeners() {
    const auto& listeners = history_.now().listeners();
    if (listeners.size() < 2) return;
    size_t name_width = kLabelWidth - 2;
    for (const auto& listener : listeners) {
      name_width =
          std::max(name_width, DisplayWidth(Printable(listener.listener())));
    }
    name_width = std::min(name_width, size_.columns / 3);
    Empty();
    const auto add = [&](const std::string& name,
                         const std::vector<std::string>& cells, Colour colour) {
      Line line = NewLine();
      line.AddPadded(Shortened(name, name_width), name_width, /*right=*/false,
                     colour);
      for (const std::string& cell : cells) {
        line.AddPadded(cell, kValueWidth, /*right=*/true, colour);
      }
      Done(line);
    };
    add("listener", {"sessions", "handshakes/s", "failed/s", "in/s", "out/s"},
        Colour::kBold);
    for (const auto& listener : listeners) {
      const Rates rates = history_.RatesOf(listener);
      add(Printable(listener.listener()),
          {FormatCount(listener.sessions()), FormatQuantity(rates.handshakes),
           FormatQuantity(rates.failed), FormatBytes(rates.bytes_in),
           FormatBytes(rates.bytes_out)},
          Colour::kPlain);
    }
  }

  std::vector<std::string> Take() {
    if (lines_.size() > size_.rows) lines_.resize(size_.rows);
    return std::move(lines_);
  }

  void Empty() { lines_.emplace_back(); }

 private:
  Line NewLine() const { return {size_.columns, style_}; }
  void Done(const Line& line) { lines_.push_back(line.text()); }

  const History& history_;
  const FrameSize size_;
  const Style& style_;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> DrawFrame(const History& history,
                                   absl::string_view target, FrameSize size,
                                   const Style& style) {
  Drawing drawing(history, size, style);
  drawing.Head(target);
  drawing.Graph("handshakes", &Rates::handshakes, false, Colour::kGreen);
  drawing.Graph("  failed", &Rates::failed, false, Colour::kRed);
  drawing.Graph("in", &Rates::bytes_in, true, Colour::kBlue);
  drawing.Graph("out", &Rates::bytes_out, true, Colour::kBlue);
  drawing.Graph("datagrams in", &Rates::datagrams_in, false, Colour::kBlue);
  drawing.Graph("datagrams out", &Rates::datagrams_out, false, Colour::kBlue);
  drawing.Graph("cookies sent", &Rates::cookies_sent, false, Colour::kCyan);
  drawing.Graph("  rejected", &Rates::cookies_rejected, false, Colour::kYellow);
  drawing.Graph("dropped", &Rates::dropped, false, Colour::kYellow);
  drawing.HandshakeTimes();
  drawing.Failures();
  drawing.Limits();
  drawing.Listeners();
  return drawing.Take();
}

}  // namespace cordon::tools::ctl
