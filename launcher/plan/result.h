// launcher/plan/result.h - OrError by its former address.
//
// Threading: plain values.
#pragma once

#include "launcher/base/result.h"
