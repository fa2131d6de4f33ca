#include "cordon/net/base/lifeline.h"

#include <memory>
#include <optional>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(LifelineTest, WatchesSeeItsEndAndMayEndBefore) {
  auto lifeline = std::make_unique<Lifeline>();
  const Lifeline::Watch first(*lifeline);
  std::optional<Lifeline::Watch> second(std::in_place, *lifeline);
  const Lifeline::Watch third(*lifeline);
  second.reset();
  EXPECT_TRUE(first.alive());
  EXPECT_TRUE(third.alive());
  lifeline.reset();
  EXPECT_FALSE(first.alive());
  EXPECT_FALSE(third.alive());
}

}  // namespace
}  // namespace cordon::net
