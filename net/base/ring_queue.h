// A queue that costs no memory while nothing was ever in it, and allocates only
// to become larger than it has been before.
//
//   RingQueue<Message> queue;
//   queue.push_back(std::move(message));
//   Message first = queue.pop_front();
//
// `std::deque` takes some 600 bytes when it is made, and allocates again and
// again while elements pass through it.
#ifndef CORDON_NET_BASE_RING_QUEUE_H_
#define CORDON_NET_BASE_RING_QUEUE_H_

#include <cstddef>
#include <memory>
#include <utility>

namespace cordon::net {

// Elements that are not in use are default-constructed; `T` must be cheap that
// way, and movable. Move-only.
template <typename T>
class RingQueue {
 public:
  RingQueue() = default;
  RingQueue(RingQueue&& other) noexcept { Swap(other); }
  RingQueue& operator=(RingQueue&& other) noexcept {
    RingQueue moved(std::move(other));
    Swap(moved);
    return *this;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // The oldest element; there must be one.
  T& front() { return elements_[begin_]; }

  void push_back(T value) {
    if (size_ == capacity_) Grow();
    elements_[(begin_ + size_) & (capacity_ - 1)] = std::move(value);
    ++size_;
  }

  // Takes the oldest element out; there must be one.
  T pop_front() {
    T value = std::exchange(elements_[begin_], T());
    begin_ = (begin_ + 1) & (capacity_ - 1);
    --size_;
    return value;
  }

  // Drops all elements, and frees the memory.
  void clear() { *this = RingQueue(); }

 private:
  static constexpr size_t kFirstCapacity = 4;  // a power of two, as all are

  void Swap(RingQueue& other) noexcept {
    std::swap(elements_, other.elements_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(size_, other.size_);
  }

  void Grow() {
    const size_t capacity = capacity_ == 0 ? kFirstCapacity : 2 * capacity_;
    auto elements = std::make_unique<T[]>(capacity);
    for (size_t i = 0; i < size_; ++i) {
      elements[i] = std::move(elements_[(begin_ + i) & (capacity_ - 1)]);
    }
    elements_ = std::move(elements);
    capacity_ = capacity;
    begin_ = 0;
  }

  std::unique_ptr<T[]> elements_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t size_ = 0;
};

}  // namespace cordon::net

#endif  // CORDON_NET_BASE_RING_QUEUE_H_
