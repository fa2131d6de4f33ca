#include "cordon/testing/documents/declarations.h"

#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

constexpr char kHeader[] =
    "// Mentioned only here.\n"
    "namespace cordon::dtls {\n"
    "class Later;\n"
    "enum class Color : uint8_t { kRed, kBlue };\n"
    "class [[nodiscard]] Box final : public Shape {\n"
    " public:\n"
    "  struct Size {\n"
    "    int width = 0;  // in meters\n"
    "  };\n"
    "  absl::Status Open(int times);\n"
    "\n"
    " private:\n"
    "  int lid_ = 0;\n"
    "};\n"
    "Box MakeBox();\n"
    "}  // namespace cordon::dtls\n";

TEST(DeclarationsTest, KnowsWhatIsDeclared) {
  const Declarations header(kHeader);
  for (const char* name :
       {"Box", "Color", "MakeBox", "Color::kRed", "Box::Open", "Box::Size",
        "Box::Size::width", "dtls::Box::Open", "cordon::dtls::MakeBox",
        "absl::Status"}) {
    EXPECT_TRUE(header.Has(name)) << name;
  }
}

TEST(DeclarationsTest, KnowsWhatIsNot) {
  const Declarations header(kHeader);
  for (const char* name :
       {"", "Mentioned", "Bo", "Box::Close", "Box::width", "Box::lid_",
        "Box::MakeBox", "Color::kGreen", "Box::Size::meters", "Later::Open",
        "MakeBox::Open", "absl::Time"}) {
    EXPECT_FALSE(header.Has(name)) << name;
  }
}

}  // namespace
}  // namespace cordon::testing
