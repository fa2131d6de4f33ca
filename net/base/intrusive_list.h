// A doubly linked list through its elements: no allocation, removal in O(1),
// and an element leaves its list when it is destroyed.
//
//   struct ReadyTag {};
//   class Job : public IntrusiveListNode<ReadyTag> {...};
//   IntrusiveList<Job, ReadyTag> ready;
//   ready.push_back(job);
//
// `Tag` lets an object stand in several lists at once. Not thread-safe.
#ifndef CORDON_NET_BASE_INTRUSIVE_LIST_H_
#define CORDON_NET_BASE_INTRUSIVE_LIST_H_

namespace cordon::net {

template <typename Tag>
class IntrusiveListNode {
 public:
  IntrusiveListNode() = default;
  IntrusiveListNode(const IntrusiveListNode&) = delete;
  IntrusiveListNode& operator=(const IntrusiveListNode&) = delete;
  ~IntrusiveListNode() { Unlink(); }

  bool linked() const { return next_ != nullptr; }
  // Leaves the list; a no-op outside of one.
  void Unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename T, typename ListTag>
  friend class IntrusiveList;

  IntrusiveListNode* next_ = nullptr;
  IntrusiveListNode* previous_ = nullptr;
};

// Owns nothing. Elements may outlive the list.
template <typename T, typename Tag>
class IntrusiveList {
 public:
  using Node = IntrusiveListNode<Tag>;

  IntrusiveList() { Clear(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) pop_front();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() { return static_cast<T&>(*head_.next_); }
  const T& front() const { return static_cast<const T&>(*head_.next_); }
  T& back() { return static_cast<T&>(*head_.previous_); }

  // `element` must not be in a list of this tag.
  void push_back(T& element) { InsertBefore(head_, element); }
  void push_front(T& element) { InsertBefore(*head_.next_, element); }
  // The list must not be empty.
  T* pop_front() {
    T& element = front();
    static_cast<Node&>(element).Unlink();
    return &element;
  }
  void remove(T& element) { static_cast<Node&>(element).Unlink(); }

  // The element after `element`, or null.
  T* next(T& element) {
    Node* node = static_cast<Node&>(element).next_;
    return node == &head_ ? nullptr : static_cast<T*>(node);
  }
  const T* next(const T& element) const {
    const Node* node = static_cast<const Node&>(element).next_;
    return node == &head_ ? nullptr : static_cast<const T*>(node);
  }

  // Moves all elements of `other` to the end of this list.
  void splice(IntrusiveList& other) {
    if (other.empty()) return;
    Node* first = other.head_.next_;
    Node* last = other.head_.previous_;
    other.Clear();
    first->previous_ = head_.previous_;
    head_.previous_->next_ = first;
    last->next_ = &head_;
    head_.previous_ = last;
  }

 private:
  void Clear() { head_.next_ = head_.previous_ = &head_; }
  void InsertBefore(Node& position, T& element) {
    Node& node = element;
    node.next_ = &position;
    node.previous_ = position.previous_;
    position.previous_->next_ = &node;
    position.previous_ = &node;
  }

  Node head_;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_INTRUSIVE_LIST_H_
