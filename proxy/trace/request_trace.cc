// proxy/trace/request_trace.cc - see request_trace.h.
#include "proxy/trace/request_trace.h"

#include <algorithm>

namespace batchproxy {

void RequestTrace::refuse(Errc code) {
  error = code;
  status = static_cast<std::uint16_t>(describe(code).status);
}

void RequestTrace::add(const AttemptRecord& attempt) {
  if (++attempts_ == 1 || attempt.granted < granted_) granted_ = attempt.granted;
  if (attempt.is_good()) {
    good_ = attempt;
  } else if (failed_.size() < RequestRecord::kAttempts) {
    failed_.push_back(attempt);
  } else {
    failed_.back() = attempt;  // the last says more than one in the middle
  }
}

void RequestTrace::end(Finish how, TimePoint when) {
  finish_ = how;
  ended_ = when;
}

void RequestTrace::fill(RequestRecord& record, const ClientRequest& request) const {
  record.id = request.id;
  record.route = request.route;
  record.model = model;
  record.arrival = request.arrival == TimePoint{} ? ended_ : request.arrival;
  record.granted = granted_;
  record.ended = ended_;
  record.first_byte = first_byte == TimePoint{} && sent > 0 ? ended_ : first_byte;
  record.bytes_in = request.body.size();
  record.bytes_out = sent;
  record.prompts = prompts;
  record.status = status;
  record.finish = finish_;
  record.error = error;
  record.head_only = request.head_only;
  record.streaming = streaming;
  record.background = request.background;
  record.replayed = replayed;
  record.given_id.set(request.given_id);
  record.key.set(request.key);
  if (request.trace) {
    record.traced = true;
    record.traceparent.set(request.trace->parent);
    record.span = request.trace->span_number;
  }
  record.attempts_made = attempts_;
  const std::size_t room = RequestRecord::kAttempts - (good_ ? 1 : 0);
  for (std::size_t i = 0; i < failed_.size(); ++i) {
    // The last one stays rather than the one before it.
    if (i + 1 >= room && i + 1 < failed_.size()) continue;
    record.attempts.push_back(failed_[i]);
  }
  if (good_) record.attempts.push_back(*good_);
}

}  // namespace batchproxy
