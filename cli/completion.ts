/** Shell completion of commands and flags, from the commands themselves. Pure. */

export type Completable = { readonly name: string; readonly about: string; readonly flags: readonly string[] };
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function completion(shell: Shell, commands: readonly Completable[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  switch (shell) {
    case "bash":
      return `_tencrypt() {
  local word=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "${names}" -- "$word")); return; fi
  case \${COMP_WORDS[1]} in
${commands.map(({ name, flags }) => `    ${name}) COMPREPLY=($(compgen -W "${flags.join(" ")}" -- "$word")) ;;`).join("\n")}
  esac
}
complete -o default -F _tencrypt tencrypt
`;
    case "zsh":
      return `#compdef tencrypt
if (( CURRENT == 2 )); then
  _values command ${commands.map(({ name, about }) => `'${name}[${about.replaceAll("'", "")}]'`).join(" ")}
else
  case $words[2] in
${commands.map(({ name, flags }) => `    ${name}) compadd -- ${flags.join(" ")} ;;`).join("\n")}
  esac
fi
`;
    case "fish":
      return commands
        .flatMap(({ name, about, flags }) => [
          `complete -c tencrypt -n __fish_use_subcommand -f -a ${name} -d '${about.replaceAll("'", "")}'`,
          ...flags.map(
            (flag) => `complete -c tencrypt -n '__fish_seen_subcommand_from ${name}' -l ${flag.replace(/^--/, "")}`,
          ),
        ])
        .join("\n")
        .concat("\n");
  }
}
