# Makes what cargo built into what is installed: a stripped shared library, and a static one that gives away no names but its own.
#
# A static Rust library brings the names of Rust's standard library with it, and two such libraries in one program collide (on
# `rust_eh_personality` at the latest). So all of it becomes one object whose other names are local. A program that links with
# --gc-sections still gets only what it uses.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code ERROR_VARIABLE said OUTPUT_VARIABLE said)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${said}")
  endif()
endfunction()

if(APPLE)
  run("${CMAKE_COMMAND}" -E copy "${SHARED_IN}" "${SHARED_OUT}")
  run("${STRIP}" -x "${SHARED_OUT}")
  run("${CMAKE_COMMAND}" -E copy "${STATIC_IN}" "${STATIC_OUT}")
  return()
endif()

run("${STRIP}" --strip-unneeded -R .comment -o "${SHARED_OUT}" "${SHARED_IN}")

get_filename_component(dir "${STATIC_OUT}" DIRECTORY)
string(REPLACE "," ";" EXPORTS "${EXPORTS}")
set(keep "")
foreach(pattern IN LISTS EXPORTS)
  list(APPEND keep "--keep-global-symbol=${pattern}")
endforeach()
# Groups (COMDAT) are merged by name between libraries; dissolved, ours stay ours. Older lld cannot, and has no need to: what becomes
# local is not merged by it.
execute_process(COMMAND "${LD}" -r --whole-archive "${STATIC_IN}" --force-group-allocation -o "${dir}/whole.o"
  RESULT_VARIABLE code ERROR_QUIET)
if(NOT code EQUAL 0)
  run("${LD}" -r --whole-archive "${STATIC_IN}" -o "${dir}/whole.o")
endif()
# Bitcode is for a later LTO by the same rustc; other tools stumble over it.
run("${OBJCOPY}" --wildcard ${keep} --strip-debug -R .llvmbc -R .llvmcmd "${dir}/whole.o" "${dir}/listenkit.o")
file(REMOVE "${STATIC_OUT}")
run("${AR}" rcs "${STATIC_OUT}" "${dir}/listenkit.o")
file(REMOVE "${dir}/whole.o" "${dir}/listenkit.o")
