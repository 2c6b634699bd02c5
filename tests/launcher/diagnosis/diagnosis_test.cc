// tests/launcher/diagnosis/diagnosis_test.cc - logs of every cause, of healthy engines and of
// unknown failures.
//
// They stand in data/logs/*.txt, each below a line "##### CAUSE" or "##### CAUSE-variant": a few
// decisive lines, as engines write them, among those that mislead.
#include "launcher/diagnosis/diagnosis.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "launcher/diagnosis/log_file.h"
#include "launcher/diagnosis/report.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using Outcome = Diagnosis::Outcome;

// By name.
std::map<std::string, std::string> samples() {
  constexpr std::string_view kHead = "##### ";
  std::map<std::string, std::string> logs;
  const std::filesystem::path folder = BATCHPROXY_SOURCE_DIR "/tests/launcher/diagnosis/logs";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (std::size_t at = text.find(kHead); at != std::string::npos;) {
      const std::size_t name = at + kHead.size();
      const std::size_t begin = text.find('\n', name) + 1;
      at = text.find(kHead, begin);
      logs[text.substr(name, begin - 1 - name)] =
          text.substr(begin, at == std::string::npos ? at : at - begin);
    }
  }
  return logs;
}

// What a sample's name says of it.
std::string expected(const std::string& name) {
  return name.substr(0, name.find('-'));
}

Diagnosis diagnosis_of(const std::string& log) {
  DiagnosisReader reader;
  reader.feed(log);
  return reader.diagnose();
}

std::string said_of(const Diagnosis& diagnosis) {
  switch (diagnosis.outcome) {
    case Outcome::kHealthy:
      return "healthy";
    case Outcome::kUnended:
      return "unended";
    case Outcome::kUnknown:
      return "unknown";
    case Outcome::kFailed:
      return std::string(describe(*diagnosis.cause).word);
  }
  return "";
}

TEST(Diagnosis, FindsTheCauseOfEachSample) {
  for (const auto& [name, log] : samples()) {
    const Diagnosis diagnosis = diagnosis_of(log);
    EXPECT_EQ(said_of(diagnosis), expected(name)) << name << "\n" << diagnosis.evidence;
  }
}

TEST(Diagnosis, HasASampleForEachCause) {
  std::set<std::string> shown;
  for (const auto& [name, log] : samples()) shown.insert(expected(name));
  for (const Cause cause : kAll<Cause>) {
    EXPECT_TRUE(shown.contains(std::string(describe(cause).word))) << describe(cause).word;
  }
}

TEST(Diagnosis, IsTheSameForPiecesOfAnySize) {
  for (const auto& [name, log] : samples()) {
    const std::string whole = diagnosis_json(diagnosis_of(log), "");
    for (const std::size_t size : {1U, 7U, 100U}) {
      DiagnosisReader reader;
      for (std::size_t at = 0; at < log.size(); at += size) reader.feed(log.substr(at, size));
      EXPECT_EQ(diagnosis_json(reader.diagnose(), ""), whole) << name << " in pieces of " << size;
    }
  }
}

TEST(Diagnosis, IsTheSameForLinesThatEndAsOnWindowsAndHaveColours) {
  for (const auto& [name, log] : samples()) {
    std::string coloured;
    for (const char c : log) {
      if (c == '\n') {
        coloured += "\x1b[0m\r\n";
      } else {
        coloured += c;
      }
    }
    EXPECT_EQ(said_of(diagnosis_of(coloured)), expected(name)) << name;
  }
}

TEST(Diagnosis, NeverTakesAWrapperForTheCause) {
  for (const auto& [name, log] : samples()) {
    const Diagnosis diagnosis = diagnosis_of(log);
    if (expected(name) == "killed") continue;  // there is nothing else
    for (const char* wrapper : {"See root cause above", "EngineCore failed to start",
                                "WorkerProc initialization failed", "EngineDeadError"}) {
      EXPECT_EQ(diagnosis.evidence.find(wrapper), std::string::npos) << name;
    }
  }
}

TEST(Diagnosis, TellsTheFiguresOfTheEvidence) {
  const auto logs = samples();
  const Figures kv = diagnosis_of(logs.at("kv_too_small")).figures;
  EXPECT_EQ(kv.context, 40000);
  EXPECT_EQ(kv.needed_gib, 6.1);
  EXPECT_EQ(kv.available_gib, 2.05);
  EXPECT_EQ(kv.longest_context, 13424);
  EXPECT_FALSE(diagnosis_of(logs.at("kv_too_small-old")).figures.longest_context);
  EXPECT_EQ(diagnosis_of(logs.at("kv_too_small_v0")).figures.longest_context, 13424);

  const Figures free = diagnosis_of(logs.at("free_memory")).figures;
  EXPECT_EQ(free.free_gib, 10.5);
  EXPECT_EQ(free.total_gib, 23.6);
  EXPECT_EQ(free.utilization, 0.9);
  EXPECT_EQ(free.wanted_gib, 21.24);

  EXPECT_EQ(diagnosis_of(logs.at("mamba_blocks")).figures.most_sequences, 300);
  EXPECT_EQ(diagnosis_of(logs.at("len_gt_derived")).figures.longest_context, 4096);
  EXPECT_EQ(diagnosis_of(logs.at("heads_tp")).figures.parts, 28);
  EXPECT_EQ(diagnosis_of(logs.at("lora_rank")).figures.lora_rank, 48);
  EXPECT_EQ(diagnosis_of(logs.at("shm_small")).figures.free_mib, 64);
  EXPECT_EQ(diagnosis_of(logs.at("file_missing")).figures.name, "/models/m/tokenizer.json");
}

TEST(Diagnosis, FillsTheFiguresIntoTheAdvice) {
  const auto logs = samples();
  const auto first = [&logs](const std::string& name) {
    const Diagnosis diagnosis = diagnosis_of(logs.at(name));
    return advice_for(*diagnosis.cause, diagnosis.figures).front();
  };
  EXPECT_EQ(first("kv_too_small"), "Set max_model_len to at most 13424.");
  EXPECT_EQ(first("mamba_blocks"), "Set max_num_seqs to at most 300.");
  EXPECT_EQ(first("kv_too_small-old"), "Set max_model_len to at most 13424.") << "worked out";
  EXPECT_EQ(advice_for(Cause::kFreeMemory, {}).size(), 1U)
      << "no advice with a number that nobody has told";
}

TEST(Diagnosis, EachCauseHasAdviceWithoutAnyFigure) {
  for (const Cause cause : kAll<Cause>) {
    if (cause == Cause::kHeadsTp || cause == Cause::kVocabTp || cause == Cause::kQuantMismatch ||
        cause == Cause::kQuantDtype || cause == Cause::kLoraRank ||
        cause == Cause::kBatchedLtSeqs || cause == Cause::kBatchedLtLen ||
        cause == Cause::kFileMissing) {
      continue;  // their line always has its figures
    }
    EXPECT_FALSE(advice_for(cause, {}).empty()) << describe(cause).word;
  }
}

TEST(Diagnosis, ReadsTheLastRunOfAFile) {
  const std::string log =
      "=== batchproxy: engine-0, run 1, 2026-11-29T14:33:18Z ===\n" + samples().at("kv_too_small") +
      "=== batchproxy: engine-0, run 2, 2026-11-29T14:34:00Z ===\n" + samples().at("oom_load");
  const Diagnosis diagnosis = diagnosis_of(log);
  EXPECT_EQ(said_of(diagnosis), "oom_load");
  EXPECT_TRUE(diagnosis.also.empty());
  EXPECT_EQ(diagnosis.run, "engine-0, run 2, 2026-11-29T14:34:00Z");
}

TEST(Diagnosis, TellsTheStageThatWasReached) {
  const auto stage = [logs = samples()](const std::string& name) {
    return diagnosis_of(logs.at(name)).stage;
  };
  EXPECT_EQ(stage("oom_load"), StartupStage::kLoadingWeights);
  EXPECT_EQ(stage("unended-capture"), StartupStage::kCapturingGraphs);
  EXPECT_EQ(stage("healthy"), StartupStage::kHttpReady);
  EXPECT_EQ(stage("bad_args"), std::nullopt);
}

TEST(Diagnosis, NamesWhatFollowsFromTheCause) {
  const Diagnosis diagnosis = diagnosis_of(samples().at("gated-403"));
  EXPECT_EQ(diagnosis.also, std::vector<Cause>{Cause::kHubUnreachable});
}

TEST(Diagnosis, OfAnUnknownFailureShowsTheExceptionAndTheLastLines) {
  const Diagnosis diagnosis = diagnosis_of(samples().at("unknown"));
  EXPECT_EQ(diagnosis.evidence, "RuntimeError: the flux capacitor is not charged");
  EXPECT_EQ(std::ranges::count(diagnosis.last_lines, diagnosis.evidence), 1)
      << "though two processes told it";
  EXPECT_EQ(diagnosis.cause, std::nullopt);
}

TEST(Diagnosis, AValidationErrorIsToldWithItsNextLine) {
  const Diagnosis diagnosis = diagnosis_of(samples().at("config_error"));
  EXPECT_NE(diagnosis.evidence.find("Value error, max_model_len must be"), std::string::npos);
}

TEST(Diagnosis, OfAFileBeginsWhereItIsTold) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("e.log");
  const std::string first = samples().at("oom_load");
  std::ofstream(path) << first << "Loading safetensors checkpoint shards:   3% Completed\n";
  EXPECT_EQ(said_of(diagnose_file(path).value()), "oom_load");
  EXPECT_EQ(said_of(diagnose_file(path, first.size()).value()), "unended");
  EXPECT_FALSE(diagnose_file(directory.file("none.log")));
}

TEST(Diagnosis, KeepsLittleOfALongLog) {
  DiagnosisReader reader;
  const std::string line(100'000, 'x');
  for (int i = 0; i < 200; ++i) reader.feed(line + "ValueError: " + line);
  reader.feed("\nOSError: [Errno 98] Address already in use\n");
  const Diagnosis diagnosis = reader.diagnose();
  EXPECT_EQ(diagnosis.cause, Cause::kPortInUse);
  EXPECT_LT(diagnosis_json(diagnosis, "").size(), 20'000U);
}

TEST(Diagnosis, OfAFailureThatIsTakenBackWaitsForNoNextLine) {
  const std::string log =
      "ValidationError: 1 validation error for X\nApplication startup complete, so what\n";
  EXPECT_EQ(diagnosis_of(log).outcome, Outcome::kHealthy);
}

TEST(Diagnosis, SurvivesAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 4096; ++i) bytes += static_cast<char>(i * 131 % 256);
  EXPECT_EQ(diagnosis_of(bytes).outcome, Outcome::kUnended);
  EXPECT_EQ(diagnosis_of("").outcome, Outcome::kUnended);
  EXPECT_EQ(diagnosis_of("max seq len (").outcome, Outcome::kUnended);
}

TEST(Report, IsTextForPeople) {
  EXPECT_EQ(diagnosis_text(diagnosis_of(samples().at("heads_tp")), "e.log"),
            "cause     heads_tp: The model's attention heads cannot be divided among that many "
            "GPUs.\n"
            "evidence  Value error, Total number of attention heads (28) must be divisible by "
            "tensor parallel size (8). [type=value_error, input_type=ArgsKwargs]\n"
            "log       e.log\n"
            "stage     booting\n"
            "do        28 heads on 8 GPUs: set tensor_parallel_size to a number that divides "
            "28.\n");
  EXPECT_EQ(diagnosis_text(diagnosis_of(samples().at("healthy")), "e.log"),
            "cause     no failure found\nlog       e.log\n");
}

TEST(Report, OfAnUnknownFailureHasItsLastLines) {
  EXPECT_EQ(diagnosis_text(diagnosis_of("RuntimeError: odd\nbye\n"), "e.log"),
            "cause     a failure that batchproxy does not know\n"
            "evidence  RuntimeError: odd\n"
            "log       e.log\n"
            "lines     RuntimeError: odd\n"
            "          bye\n");
}

TEST(Report, IsJsonForPrograms) {
  EXPECT_EQ(
      diagnosis_json(diagnosis_of(samples().at("quant_fp8_online")), "e.log"),
      R"({"cause":"quant_fp8_online","outcome":"failed","what":"fp8 no longer quantises while )"
      R"(loading; the method has a new name.","evidence":"ValueError: The `fp8` quantization )"
      R"(method no longer supports online quantization.","advice":["Set quantization: )"
      R"(fp8_per_tensor."],"stage":"loading_weights","also":[],"last_lines":[],"run":"",)"
      R"("log":"e.log"})");
  EXPECT_NE(diagnosis_json(diagnosis_of(""), "-").find(R"("cause":null)"), std::string::npos);
}

TEST(Report, OfAnyBytesIsUtf8) {
  const std::string taken = "OSError: [Errno 98] Address already in use ";
  const auto json_of = [](const std::string& log) {
    return diagnosis_json(diagnosis_of(log), "l");
  };
  EXPECT_NE(json_of(taken + "\xc3\xa9\n").find("in use \xc3\xa9\""), std::string::npos);
  EXPECT_NE(json_of(taken + "\xff\xe2\x82\n").find("in use ???\""), std::string::npos);
}

TEST(Report, CannotCommandATerminal) {
  const std::string text =
      diagnosis_text(diagnosis_of("OSError: [Errno 98] Address already in use \x07\x9b\n"), "l");
  EXPECT_EQ(text.find('\x07'), std::string::npos);
}

}  // namespace
}  // namespace batchproxy
