# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
# bash completion for virtnet: the program itself knows what may follow (commands, options, values,
# ids and VUIDs of the devices that exist now); see virtnet_cli/completion.py.

_virtnet()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local -a found
	local IFS=$'\n'

	COMPREPLY=()
	mapfile -t found < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	if [[ ${found[0]-} == :file ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	elif [[ -n ${found[0]-} ]]; then
		COMPREPLY=("${found[@]}")
	fi
}

complete -F _virtnet virtnet virtnet.py
