// proxy/certificates/file_check.cc - see file_check.h.
#include "proxy/certificates/file_check.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include <unistd.h>

#include "proxy/certificates/expiry_watch.h"

namespace batchproxy {

namespace {

class FileCheck {
 public:
  FileCheck(const Options& options, WallTime now) : options_(options), now_(now) {}

  std::vector<Diagnostic> run() && {
    check_own();
    check_authorities(options_.proxy.tls.ca_file, "tls.ca_file");
    check_authorities(options_.proxy.tracing.otlp_ca_file, "tracing.otlp_ca_file");
    for (const BackendOptions& backend : *options_.proxy.backends) {
      check_authorities(backend.ca_file, *backend.url + ": ca_file");
    }
    check_access_log();
    return std::move(findings_).take();
  }

 private:
  Place place_of(const Origin& origin) const {
    if (origin.source != Source::kFile) return {origin.detail};
    return {options_.file, origin.line, origin.column};
  }

  void check_own() {
    const Key<std::string>& certificate = options_.proxy.tls.certificate;
    if (certificate->empty()) return;
    const Place place = place_of(certificate.origin);
    const auto context = TlsContext::of_server(*certificate, *options_.proxy.tls.key);
    if (!context) return findings_.error(place, "tls: " + context.error());
    const std::string problem = expiry_problem(own_certificate(**context), now_);
    if (problem.empty()) return;
    findings_.warning(place, "tls: the certificate in " + *certificate + " " + problem);
  }

  // Of those that stand in several places the first is told.
  void check_authorities(const Key<std::string>& file, const std::string& what) {
    if (file->empty() || !seen_.insert(*file).second) return;
    const Place place = place_of(file.origin);
    const auto found = read_certificates(*file);
    if (!found) return findings_.error(place, what + ": " + found.error());
    // Of many, some may well have ended.
    const auto has_problem = [this](const CertificateFacts& one) {
      return !expiry_problem(one, now_).empty();
    };
    if (!std::ranges::all_of(*found, has_problem)) return;
    findings_.warning(
        place, what + ": the certificate in " + *file + " " + expiry_problem(found->front(), now_));
  }

  void check_access_log() {
    const Key<std::string>& file = options_.proxy.access_log.file;
    if (file->empty() || *file == "-") return;
    const std::string problem = problem_of_log(*file);
    if (problem.empty()) return;
    findings_.warning(place_of(file.origin),
                      "access_log: " + *file + " cannot be written, and requests would have no "
                                               "line: " + problem);
  }

  static std::string problem_of_log(const std::string& file) {
    std::error_code ignored;
    if (std::filesystem::is_directory(file, ignored)) return "it is a directory";
    const bool exists = ::access(file.c_str(), F_OK) == 0;
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    const std::string place = exists ? file : folder.empty() ? "." : folder.string();
    if (::access(place.c_str(), exists ? W_OK : W_OK | X_OK) == 0) return {};
    return (exists ? "" : place + ": ") + std::strerror(errno);
  }

  const Options& options_;
  const WallTime now_;
  Findings findings_;
  std::set<std::string> seen_;  // files of authorities
};

}  // namespace

std::vector<Diagnostic> check_files(const Options& options, WallTime now) {
  return FileCheck(options, now).run();
}

}  // namespace batchproxy
