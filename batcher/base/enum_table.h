// batcher/base/enum_table.h - EnumTable: what there is to say of each enumerator, one row each, and
// held to that by the compiler.
//
//   enum class Fruit { kApple, kPear, kCount };
//   struct FruitRow { Fruit id{}; std::string_view word{}; };
//   constexpr EnumTable<FruitRow> kFruits({{Fruit::kApple, "apple"}, {Fruit::kPear, "pear"}});
//
// An enumerator without a row, a row too many, or one at another's place does not compile. The
// enumerators count from 0; the last one, kCount, is none of them.
//
// Threading: constants, any thread.
#pragma once

#include <array>
#include <cstddef>

namespace batchproxy {

template <class Enum>
inline constexpr std::size_t kCountOf = static_cast<std::size_t>(Enum::kCount);

// All enumerators, in their order.
template <class Enum>
inline constexpr std::array<Enum, kCountOf<Enum>> kAll = [] {
  std::array<Enum, kCountOf<Enum>> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<Enum>(i);
  return all;
}();

// Never defined: the compiler names it when it refuses a table.
void a_row_is_not_at_the_place_of_its_enumerator();

template <class Row, class Enum = decltype(Row::id)>
class EnumTable {
 public:
  template <std::size_t N>
  consteval explicit EnumTable(const Row (&rows)[N]) {
    static_assert(N == kCountOf<Enum>, "each enumerator has one row in its table");
    for (std::size_t i = 0; i < N && i < rows_.size(); ++i) {
      if (rows[i].id != static_cast<Enum>(i)) a_row_is_not_at_the_place_of_its_enumerator();
      rows_[i] = rows[i];
    }
  }

  constexpr const Row& operator[](Enum id) const { return rows_[static_cast<std::size_t>(id)]; }
  constexpr auto begin() const { return rows_.begin(); }
  constexpr auto end() const { return rows_.end(); }

 private:
  std::array<Row, kCountOf<Enum>> rows_{};
};

}  // namespace batchproxy
