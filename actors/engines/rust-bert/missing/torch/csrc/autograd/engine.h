// Found only where libtorch is not: the real header comes first in the search.
#error "libtorch has not been fetched yet: run `make native` first, or set LIBTORCH to your own"
