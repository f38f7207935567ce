# Runs a program and ends it when standard input closes, so that nothing stays
# behind when the test process dies, however it dies.
#
# usage: guard.sh SIGNAL LOG PIDFILE TRASH program [argument…]
#   SIGNAL   ends the program gracefully
#   LOG      takes its output
#   PIDFILE  names a child server to end as well (first line is its pid), or -
#   TRASH    folder to remove when the test process died, or -
#
# Prints the program's pid and exits with its exit code. On standard input the
# line `stop` ends the program and keeps the folder, the line `leave` ends the
# guard and touches nothing.
signal=$1 log=$2 pidfile=$3 trash=$4
shift 4
exec 3<&0
"$@" >>"$log" 2>&1 </dev/null 3<&- &
child=$!
echo "$child"
done_mark=$log.$child.done
(
  exec >/dev/null 2>&1
  word=
  read -r word <&3
  case $word in
    leave) exit 0 ;;
    stop) trash=- ;;
  esac
  if [ ! -e "$done_mark" ]; then
    kill "-$signal" "$child"
    turns=0
    while [ ! -e "$done_mark" ] && [ "$turns" -lt 200 ]; do
      sleep 0.05
      turns=$((turns + 1))
    done
    [ -e "$done_mark" ] || kill -KILL "$child"
  fi
  if [ -f "$pidfile" ]; then
    server=$(head -n 1 "$pidfile")
    kill -INT "$server"
    turns=0
    while kill -0 "$server" && [ "$turns" -lt 100 ]; do
      sleep 0.05
      turns=$((turns + 1))
    done
  fi
  rm -f "$done_mark"
  [ "$trash" = - ] || rm -rf "$trash"
) &
wait "$child"
code=$?
: >"$done_mark"
exit "$code"
