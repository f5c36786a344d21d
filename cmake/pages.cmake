# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes what KITH prints about itself into OUT: man1/*.1, and a completion script per shell.
file(MAKE_DIRECTORY ${OUT}/man1)
execute_process(COMMAND ${KITH} --help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${KITH} man OUTPUT_FILE ${OUT}/man1/kith.1 COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\n  [a-z]+ " commands "${help}")
foreach(command IN LISTS commands)
    string(STRIP "${command}" command)
    execute_process(COMMAND ${KITH} man ${command} OUTPUT_FILE ${OUT}/man1/kith-${command}.1
        COMMAND_ERROR_IS_FATAL ANY)
endforeach()
foreach(shell IN ITEMS bash zsh fish)
    execute_process(COMMAND ${KITH} completion ${shell} OUTPUT_FILE ${OUT}/kith.${shell} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
