#include "cordon/net/base/slab.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

TEST(SlabTest, FindsWhatItAllocated) {
  Slab<int> slab;
  Slab<int>::Id a, b;
  slab.Allocate(&a) = 1;
  slab.Allocate(&b) = 2;
  EXPECT_EQ(*slab.Find(a), 1);
  EXPECT_EQ(*slab.Find(b), 2);
  EXPECT_EQ(slab.used(), 2U);
}

TEST(SlabTest, AStaleIdFindsNothing) {
  Slab<int> slab;
  Slab<int>::Id first, second;
  slab.Allocate(&first) = 1;
  slab.Free(first);
  slab.Allocate(&second) = 2;
  EXPECT_NE(first, second);
  EXPECT_EQ(slab.Find(first), nullptr);
  slab.Free(first);  // Does no harm to the slot's new use.
  EXPECT_EQ(*slab.Find(second), 2);
  EXPECT_EQ(slab.Find(12345), nullptr);
}

TEST(SlabTest, AddressesAreStable) {
  Slab<int> slab;
  Slab<int>::Id first;
  int* address = &slab.Allocate(&first);
  std::set<Slab<int>::Id> ids = {first};
  for (int i = 0; i < 10000; ++i) {
    Slab<int>::Id id;
    slab.Allocate(&id);
    ids.insert(id);
  }
  EXPECT_EQ(slab.Find(first), address);
  EXPECT_EQ(ids.size(), 10001U);
  int seen = 0;
  slab.ForEach([&seen](int&) { ++seen; });
  EXPECT_EQ(seen, 10001);
}

}  // namespace
}  // namespace cordon::net
