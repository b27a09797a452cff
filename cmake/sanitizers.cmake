add_library(opt_sanitize INTERFACE)
if(DM_SANITIZE)
  target_compile_options(opt_sanitize INTERFACE -fsanitize=${DM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(opt_sanitize INTERFACE -fsanitize=${DM_SANITIZE})
endif()
if(DM_FUZZ)
  # Coverage everywhere; only the fuzz targets link the driver.
  target_compile_options(opt_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()
