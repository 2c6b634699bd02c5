// proxy/jobs/answer_packing.h - answers as the ledger keeps them: zstd, with the words of a usual
// answer known beforehand, as most answers are too short to compress alone.
//
// Packed bytes are a letter, the number of the dictionary, and a zstd frame. Dictionaries are part
// of the ledger's format: a better one is a further row, no row ever changes.
//
// Threading: any thread; no state of its own but tables made once.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

std::string pack_answer(std::string_view answer);

// Nothing when `packed` is no such bytes, or damaged.
std::optional<std::string> unpack_answer(std::string_view packed);

}  // namespace batchproxy
