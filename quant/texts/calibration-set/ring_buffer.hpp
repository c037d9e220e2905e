#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>

namespace audio {

// A queue of fixed size; pushing onto a full one drops the oldest element.
template <typename T, std::size_t N>
class RingBuffer {
    static_assert(N > 0, "a buffer needs room for one element");

public:
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool full() const noexcept { return size_ == N; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    void push(T value) {
        items_[(first_ + size_) % N] = std::move(value);
        if (full()) {
            first_ = (first_ + 1) % N;
        } else {
            ++size_;
        }
    }

    std::optional<T> pop() {
        if (empty()) {
            return std::nullopt;
        }
        T value = std::move(items_[first_]);
        first_ = (first_ + 1) % N;
        --size_;
        return value;
    }

    const T& at(std::size_t index) const {
        if (index >= size_) {
            throw std::out_of_range("RingBuffer::at");
        }
        return items_[(first_ + index) % N];
    }

    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (std::size_t i = 0; i < size_; ++i) {
            visit(items_[(first_ + i) % N]);
        }
    }

private:
    std::array<T, N> items_{};
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

}  // namespace audio
