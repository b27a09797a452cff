# cmake -DOUT=files.c -DHEADER=x.h -DNAMES=a,b -DFILES=path,path -P embed_files.cmake
# Files as `const struct str NAME`, declared by HEADER.
string(REPLACE "," ";" names "${NAMES}")
string(REPLACE "," ";" files "${FILES}")
set(text "#include \"${HEADER}\"\n")
foreach(name file IN ZIP_LISTS names files)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND text "\nstatic const char ${name}_bytes[] = {${bytes}0};\n"
    "const struct str ${name} = {${name}_bytes, sizeof(${name}_bytes) - 1};\n")
endforeach()
file(WRITE "${OUT}" "${text}")
