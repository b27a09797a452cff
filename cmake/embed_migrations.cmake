# cmake -DDIR=migrations -DNAMES=0001_init,0002_more -DOUT=migrations.c -P embed_migrations.cmake
# The texts of the migrations and their SHA-256 as the table that server/db/migrate_priv.h declares.
string(REPLACE "," ";" names "${NAMES}")
set(texts "")
set(rows "")
set(n 0)
foreach(name IN LISTS names)
  if(NOT name MATCHES "^[0-9][0-9][0-9][0-9]_[a-z0-9_]+$")
    message(FATAL_ERROR "${name}: a migration is called NNNN_snake_name.sql")
  endif()
  math(EXPR n "${n} + 1")
  string(REGEX REPLACE "^0*([0-9]+)_.*" "\\1" version "${name}")
  if(NOT version EQUAL n)
    message(FATAL_ERROR "${name}: migrations are numbered 1, 2, 3, ... and listed in order")
  endif()
  file(READ "${DIR}/${name}.sql" hex HEX)
  file(SHA256 "${DIR}/${name}.sql" sha256)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND texts "static const unsigned char sql_${n}[] = {${bytes}0};\n")
  string(APPEND rows "    {${n}, \"${name}\", \"${sha256}\", (const char *)sql_${n}},\n")
endforeach()
file(WRITE "${OUT}" "#include \"server/db/migrate_priv.h\"\n\n${texts}\n"
  "static const struct migration rows[] = {\n${rows}};\n"
  "const struct migration_set migrations_embedded = {rows, ${n}};\n")
