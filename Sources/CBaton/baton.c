/* baton.h is all there is: this file lets the package manager see a target. */
#include "baton.h"
