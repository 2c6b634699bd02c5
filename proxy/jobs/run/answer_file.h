// proxy/jobs/run/answer_file.h - AnswerFile: lines of answers, each exactly once, as the ledger has
// them.
//
// The ledger is the truth, the file its copy. A run begins with a file written anew from the
// ledger, so whatever a crash left between the two is gone; then each answer is appended once it is
// in the ledger.
//
// Threading: confined to one thread. Writes block. Throws std::runtime_error, a sentence with the
// file's name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/jobs/ledger.h"

namespace batchproxy {

// One line of OpenAI's output files, with its end. Of a failed item its response is null when no
// answer came, and its error says why.
// `provenance`: it also says where, when and at which try.
std::string answer_line(const ItemOutcome& outcome, bool provenance);

// The path of what is written to standard output instead.
inline constexpr std::string_view kStandardOutput = "-";

class AnswerFile {
 public:
  // Items of `state` belong in this file.
  AnswerFile(std::string path, ItemState state, bool provenance);
  ~AnswerFile();
  AnswerFile(const AnswerFile&) = delete;
  AnswerFile& operator=(const AnswerFile&) = delete;

  // Puts the lines of all such items in the place of what the file holds. `in_order`: up to the
  // first that still waits. Whoever reads the old file keeps it. A file of errors is not there
  // while it has no line.
  void write_anew(Ledger& ledger, bool in_order);

  // For a file without order: those of `outcomes` that belong here.
  void append(const std::vector<ItemOutcome>& outcomes);
  // For one in order: whatever no longer has an item that waits before it.
  void append_in_order(Ledger& ledger);

  // On disk for good.
  void finish();

 private:
  void add_in_order(Ledger& ledger, bool stop_at_waiting);
  void add(std::string_view line);
  void flush();
  void begin(const std::string& path);
  [[noreturn]] void fail(const char* what) const;

  const std::string path_;
  const ItemState state_;
  const bool provenance_;
  int fd_ = -1;
  std::string buffer_;
  std::int64_t next_ = 0;  // the position from which on items are missing, in order
  std::int64_t lines_ = 0;
};

}  // namespace batchproxy
