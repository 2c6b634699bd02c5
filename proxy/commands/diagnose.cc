// proxy/commands/diagnose.cc - batchproxy diagnose: why an engine failed, from its log.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "launcher/diagnosis/diagnosis.h"
#include "launcher/diagnosis/report.h"
#include "proxy/commands/commands.h"

namespace batchproxy {
namespace {

struct DiagnoseFlags {
  std::string log;
  bool json = false;
};

// Nothing if it cannot be read.
std::optional<Diagnosis> diagnosis_of(std::FILE* file) {
  DiagnosisReader reader;
  std::array<char, 256 * 1024> piece{};
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file)) {
    reader.feed({piece.data(), size});
  }
  if (std::ferror(file) != 0) return std::nullopt;
  return reader.diagnose();
}

int diagnose(const DiagnoseFlags& flags) {
  const bool is_stdin = flags.log == "-";
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const File opened(is_stdin ? nullptr : std::fopen(flags.log.c_str(), "rb"),
                    [](std::FILE* file) { return file == nullptr ? 0 : std::fclose(file); });
  std::FILE* const file = is_stdin ? stdin : opened.get();
  const auto diagnosis = file == nullptr ? std::nullopt : diagnosis_of(file);
  if (!diagnosis) {
    std::cerr << "error: " << flags.log << ": " << std::strerror(errno) << '\n';
    return kUsage;
  }
  const std::string name = is_stdin ? "standard input" : flags.log;
  std::cout << (flags.json ? diagnosis_json(*diagnosis, name) + "\n"
                           : diagnosis_text(*diagnosis, name));
  return 0;
}

}  // namespace

Command add_diagnose(CLI::App& app, CommandLine&) {
  CLI::App* command = app.add_subcommand("diagnose", "Say why an engine failed, from its log");
  const auto flags = std::make_shared<DiagnoseFlags>();
  command->add_option("log", flags->log, "An engine's log, - for standard input")->required();
  command->add_flag("--json", flags->json, "As one JSON object");
  command->footer(
      "Exit code 0 if the log could be read, whatever it says.\n\n"
      "Examples:\n"
      "  batchproxy diagnose logs/engine-0.log\n"
      "  vllm serve my/model 2>&1 | batchproxy diagnose - --json");
  return {command, [flags] { return diagnose(*flags); }};
}

}  // namespace batchproxy
