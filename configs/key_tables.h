// configs/key_tables.h - every key of the configuration as words: for the reference in
// docs/CONFIGURATION.md, and for the manual page.
//
// Threading: any thread; no state.
#pragma once

#include <string>
#include <vector>

namespace batchproxy {

struct KeyText {
  std::string name{};   // "batchproxy.listen"
  std::string type{};   // "whole number"; may have `code` in it
  std::string value{};  // its default; empty for an argument of vLLM's
  std::string words{};  // that it takes, "eager|fixed"; or
  std::string range{};  // "1 to 65535"
  std::string flag{};
  std::string variable{};
  std::string reload{};  // whether one takes it over: "yes", "no", "same kind"
  std::string meaning{};
};

struct KeyTable {
  std::string title;
  std::vector<KeyText> keys;
};

std::vector<KeyTable> key_tables();

}  // namespace batchproxy
