// proxy/files/files_api.cc - see files_api.h.
#include "proxy/files/files_api.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "proxy/files/file_upload.h"
#include "proxy/files/wall_clock.h"

namespace batchproxy {

namespace json = boost::json;

namespace {

constexpr std::string_view kFiles = "/v1/files";
constexpr std::string_view kContent = "/content";
constexpr std::int64_t kMostFiles = 10'000;  // of one page
constexpr std::size_t kPiece = 256 * 1024;

json::object json_of(const StoredFile& file) {
  return {{"id", file.id},
          {"object", "file"},
          {"bytes", file.bytes},
          {"created_at", file.created_at},
          {"expires_at", nullptr},
          {"filename", file.filename},
          {"purpose", file.purpose},
          {"status", "processed"},
          {"status_details", nullptr}};
}

Error too_large() {
  return {Errc::kBodyTooLarge,
          fmt::format("A file may have at most {} MiB. Split it.", kMaxFileBytes >> 20)};
}

// Counts the bytes of an upload for as long as it is under way.
class Arriving {
 public:
  explicit Arriving(std::int64_t& sum) : sum_(sum) {}
  ~Arriving() { sum_ -= mine_; }
  Arriving(const Arriving&) = delete;
  Arriving& operator=(const Arriving&) = delete;
  void set(std::int64_t bytes) { sum_ += bytes - std::exchange(mine_, bytes); }

 private:
  std::int64_t& sum_;
  std::int64_t mine_ = 0;
};

}  // namespace

Error no_such(std::string_view what, std::string_view id) {
  return {Errc::kNotFound, fmt::format("There is no {} with the id '{}'.", what, id), "id"};
}

Task<void> FilesApi::serve(ServiceExchange& exchange) {
  std::string_view rest = exchange.path().substr(kFiles.size());
  if (rest.empty() && exchange.method() == "POST") co_return co_await upload(exchange);
  const bool content = rest.ends_with(kContent);
  if (content) rest.remove_suffix(kContent.size());
  const std::string id(rest.substr(std::min<std::size_t>(1, rest.size())));
  if (content) co_return co_await send_content(exchange, id);
  const Result<std::string> answer = id.empty() ? list(exchange)
                                     : exchange.method() == "DELETE"
                                         ? remove(id, exchange.owner())
                                         : retrieve(id, exchange.owner());
  if (answer) {
    co_await exchange.answer(*answer);
  } else {
    co_await exchange.reject(answer.error());
  }
}

Result<std::string> FilesApi::list(const ServiceExchange& exchange) {
  const auto wanted = page_wanted(exchange.target(), kMostFiles, kMostFiles);
  if (!wanted) return wanted.error();
  const std::string purpose = query_value(exchange.target(), "purpose").value_or("");
  const auto page = store_.files(exchange.owner(), purpose, *wanted);
  if (!page) return no_such("file", wanted->after);
  json::array data;
  for (const StoredFile& file : page->items) data.emplace_back(json_of(file));
  json::object body{{"object", "list"}, {"data", std::move(data)}};
  const std::vector<StoredFile>& found = page->items;
  body["first_id"] = found.empty() ? json::value(nullptr) : json::value(found.front().id);
  body["last_id"] = found.empty() ? json::value(nullptr) : json::value(found.back().id);
  body["has_more"] = page->has_more;
  return json::serialize(body);
}

Result<std::string> FilesApi::retrieve(std::string_view id, const std::string& owner) {
  const auto file = store_.file(id, owner);
  if (!file) return no_such("file", id);
  return json::serialize(json_of(*file));
}

Result<std::string> FilesApi::remove(std::string_view id, const std::string& owner) {
  if (!store_.file(id, owner)) return no_such("file", id);
  if (store_.is_needed(id)) {
    return Error{Errc::kInvalidRequest,
                 fmt::format("The file '{}' is the input of a batch that is not over. Cancel that "
                             "first.",
                             id),
                 "id"};
  }
  store_.remove_file(id);
  return json::serialize(json::object{{"id", id}, {"object", "file"}, {"deleted", true}});
}

Task<void> FilesApi::upload(ServiceExchange& exchange) {
  const auto boundary = boundary_of(exchange.field("content-type"));
  if (!boundary) {
    const Error error{Errc::kInvalidRequest,
                      "An upload is a form (multipart/form-data) with the parts `purpose` and "
                      "`file`."};
    co_return co_await exchange.reject(error);
  }
  StoredFile file;
  file.id = new_id("file-");
  FileUpload form(*boundary, store_.upload_path(file.id));
  Arriving arriving(arriving_);
  std::vector<char> piece(kPiece);
  while (true) {
    const std::optional<std::size_t> got = co_await exchange.read_some(piece);
    if (!got) co_return;
    if (*got == 0) break;
    std::optional<Error> error = form.feed({piece.data(), *got});
    arriving.set(form.bytes());
    if (!error && form.bytes() > kMaxFileBytes) error = too_large();
    if (!error && arriving_ + store_.bytes_of_files() > max_bytes_)
      error = error_of(Errc::kQuotaExceeded);
    if (error) co_return co_await exchange.reject(*error);
  }
  const std::optional<Error> error = form.finish();
  if (error) co_return co_await exchange.reject(*error);
  file.owner = exchange.owner();
  file.filename = form.filename();
  file.purpose = form.purpose();
  file.bytes = form.bytes();
  file.created_at = seconds_now();
  store_.add_file(file);
  form.keep();
  const std::string answer = json::serialize(json_of(file));
  co_await exchange.answer(answer);
}

Task<void> FilesApi::send_content(ServiceExchange& exchange, std::string_view id) {
  const auto file = store_.file(id, exchange.owner());
  if (!file) {
    const Error error = no_such("file", id);
    co_return co_await exchange.reject(error);
  }
  const Descriptor open(::open(store_.file_path(id).c_str(), O_RDONLY | O_CLOEXEC));
  if (open.get() < 0) {
    const Error error{Errc::kJobsUnavailable, "The file's bytes have gone from the disk."};
    co_return co_await exchange.reject(error);
  }
  const bool begun =
      co_await exchange.begin("application/octet-stream", static_cast<std::size_t>(file->bytes));
  bool open_still = begun;
  std::vector<char> piece(kPiece);
  while (open_still) {
    const ssize_t got = ::read(open.get(), piece.data(), piece.size());
    if (got <= 0) break;
    const std::string_view bytes(piece.data(), static_cast<std::size_t>(got));
    open_still = co_await exchange.write(bytes);
  }
}

}  // namespace batchproxy
