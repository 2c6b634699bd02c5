// configs/validate.h - rules that concern more than one value, or more than its type.
//
// Threading: any thread; no state.
#pragma once

#include "configs/schema/options.h"
#include "configs/text/diagnostic.h"

namespace batchproxy {

// Reports what is wrong with `options` as a whole. Keys whose value was refused already (there is
// an error at the place they came from) are not judged again.
void validate(const Options& options, Findings& findings);

}  // namespace batchproxy
