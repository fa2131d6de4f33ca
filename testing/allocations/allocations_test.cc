#include "cordon/testing/allocations/allocations.h"

#include <openssl/mem.h>

#include <cstdlib>
#include <memory>

#include "gtest/gtest.h"

namespace cordon::testing {
namespace {

// Keeps the compiler from leaving the allocation out.
void Use(void* memory) { asm volatile("" : : "g"(memory) : "memory"); }

TEST(AllocationsTest, EachIsCountedOnce) {
  uint64_t before = AllocationsSoFar();
  EXPECT_EQ(AllocationsSoFar() - before, 0U);

  const auto object = std::make_unique<int>(1);
  Use(object.get());
  EXPECT_EQ(AllocationsSoFar() - before, 1U);

  before = AllocationsSoFar();
  const auto array = std::make_unique<int[]>(100);
  Use(array.get());
  EXPECT_EQ(AllocationsSoFar() - before, 1U);

  struct alignas(256) Aligned {
    int value = 0;
  };
  before = AllocationsSoFar();
  const auto aligned = std::make_unique<Aligned>();
  Use(aligned.get());
  EXPECT_EQ(AllocationsSoFar() - before, 1U);

  before = AllocationsSoFar();
  void* memory = std::malloc(100);
  Use(memory);
  void* longer = std::realloc(memory, 100'000);
  Use(longer);
  std::free(longer);
  EXPECT_EQ(AllocationsSoFar() - before, 2U);
}

TEST(AllocationsTest, BoringSslIsCounted) {
  const uint64_t before = AllocationsSoFar();
  void* memory = OPENSSL_malloc(100);
  Use(memory);
  OPENSSL_free(memory);
  EXPECT_EQ(AllocationsSoFar() - before, 1U);
}

}  // namespace
}  // namespace cordon::testing
