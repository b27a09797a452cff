# Warnings that gcc 12 and clang 14 both know, plus what only one of them has. Targets get them by dm_library and friends.
add_library(opt_warnings INTERFACE)
target_compile_options(opt_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings -Wswitch-enum
  -Wimplicit-fallthrough -Wdouble-promotion -Wnull-dereference -Wvla -Walloca -Wenum-conversion -Wdate-time)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(opt_warnings INTERFACE
    -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init -ftrivial-auto-var-init=zero)
else()
  target_compile_options(opt_warnings INTERFACE -Wcomma -Wshorten-64-to-32 -Wno-gnu-statement-expression
    -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(DM_WERROR)
  target_compile_options(opt_warnings INTERFACE -Werror)
endif()

# Hardening of release builds.
add_library(opt_hardening INTERFACE)
target_compile_options(opt_hardening INTERFACE
  $<$<CONFIG:RelWithDebInfo,Release>:-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE>)
target_link_options(opt_hardening INTERFACE
  $<$<CONFIG:RelWithDebInfo,Release>:-pie -Wl,-z,relro,-z,now>)
