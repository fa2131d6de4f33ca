#include "cordon/net/base/intrusive_list.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace cordon::net {
namespace {

struct TagA {};
struct TagB {};
struct Item : IntrusiveListNode<TagA>, IntrusiveListNode<TagB> {
  explicit Item(int v) : value(v) {}
  int value;
};
using List = IntrusiveList<Item, TagA>;

std::vector<int> Values(List& list) {
  std::vector<int> values;
  for (Item* i = list.empty() ? nullptr : &list.front(); i != nullptr;
       i = list.next(*i)) {
    values.push_back(i->value);
  }
  return values;
}

TEST(IntrusiveListTest, KeepsOrder) {
  Item a(1), b(2), c(3);
  List list;
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
  list.remove(b);
  EXPECT_EQ(Values(list), (std::vector<int>{1, 3}));
  EXPECT_EQ(list.pop_front()->value, 1);
  EXPECT_EQ(&list.back(), &c);
}

TEST(IntrusiveListTest, AnElementLeavesWhenItDies) {
  Item a(1);
  List list;
  list.push_back(a);
  {
    Item b(2);
    list.push_back(b);
  }
  EXPECT_EQ(Values(list), std::vector<int>{1});
}

TEST(IntrusiveListTest, AListMayDieFirst) {
  Item a(1);
  {
    List list;
    list.push_back(a);
  }
  EXPECT_FALSE(static_cast<IntrusiveListNode<TagA>&>(a).linked());
}

TEST(IntrusiveListTest, AnElementMayBeInSeveralLists) {
  Item a(1);
  List one;
  IntrusiveList<Item, TagB> two;
  one.push_back(a);
  two.push_back(a);
  one.remove(a);
  EXPECT_TRUE(one.empty());
  EXPECT_FALSE(two.empty());
}

TEST(IntrusiveListTest, SplicesAtTheEnd) {
  Item a(1), b(2), c(3);
  List one, two;
  one.push_back(a);
  two.push_back(b);
  two.push_back(c);
  one.splice(two);
  one.splice(two);
  EXPECT_EQ(Values(one), (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(two.empty());
}

}  // namespace
}  // namespace cordon::net
