#!/usr/bin/env bash
# A real SLURM on this machine, on loopback alone, for the tests.   cluster.sh up | down
#
#   partition   nodes        GPUs   a job that is preempted
#   cpu         cpu1         -      -
#   gpu         gpu1         2      is requeued       (stand-ins: clones of /dev/null)
#   spare       gpu1         2      is cancelled
#   urgent      gpu1         2      (preempts those of gpu and spare)
#   pair        cpu1, cpu2   -      -
#   gpus        gpu1, gpu2   2, 1   -
#
# Needs root and Debian's packages, which `up` installs. Memory limits are enforced, by polling.
set -euo pipefail
LAB=${SERPENS_SLURM:-/var/tmp/serpens-slurm}
CTLD_PORT=16817 DBD_PORT=16819 SQL_PORT=16806
declare -A PORTS=([cpu1]=16821 [cpu2]=16822 [gpu1]=16823 [gpu2]=16824)
PACKAGES=(slurm-client slurmctld slurmd slurmdbd munge mariadb-server)

die() { echo "cluster.sh: $*" >&2; exit 1; }
wait_for() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || die "$what does not answer; see $LAB/log"; sleep 0.1; done
}
alive() { # PIDFILE NAME: the process is there, and no later one has its number
  local pid; pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}
stop() { # PIDFILE NAME
  alive "$1" "$2" || { rm -f "$1"; return 0; }
  local pid; pid=$(cat "$1"); kill "$pid"
  for _ in $(seq 200); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
  if alive "$1" "$2"; then kill -KILL "$pid"; fi
  rm -f "$1"
}

install() {
  local missing=() package
  for package in "${PACKAGES[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  # the packages must not start daemons of their own; a policy that is there already stays
  local policy=/usr/sbin/policy-rc.d ours=0
  if [ ! -e $policy ]; then ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; fi
  DEBIAN_FRONTEND=noninteractive apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  if [ $ours = 1 ]; then rm -f $policy; fi
}

configure() {
  mkdir -p "$LAB"/{etc,run,log,state,spool,munge,dev,mysql}
  chmod 755 "$LAB" "$LAB"/{etc,run,log,spool}
  chown slurm: "$LAB/state"
  # daemons that are not root write into folders of their own
  command install -d -o slurm -g slurm -m755 "$LAB/run/slurm" "$LAB/log/slurm"
  command install -d -o munge -g munge -m755 "$LAB/run/munge"
  command install -d -o munge -g munge -m700 "$LAB/munge" "$LAB/log/munge"
  command install -d -o mysql -g mysql -m700 "$LAB/mysql"
  command install -d -o mysql -g mysql -m755 "$LAB/run/mysql" "$LAB/log/mysql"
  HOST=$(hostname -s)
  getent hosts "$HOST" | grep -q '^127\.' || echo "127.0.0.1 $HOST" >>/etc/hosts
  if [ ! -s "$LAB/munge/munge.key" ]; then
    (umask 077; dd if=/dev/urandom of="$LAB/munge/munge.key" bs=128 count=1 status=none)
    chown munge: "$LAB/munge/munge.key"; chmod 400 "$LAB/munge/munge.key"
  fi
  # each node claims most of the machine: jobs ask for more than they take
  local i memory; memory=$(awk '/MemTotal/{print int($2/1024 * 0.6)}' /proc/meminfo)
  for i in 0 1; do [ -c "$LAB/dev/nvidia$i" ] || mknod -m 666 "$LAB/dev/nvidia$i" c 1 3; done
  cat >"$LAB/etc/slurm.conf" <<EOF
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge/munge.sock,cred_expire=10
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurm/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd-%n.pid
SlurmctldLogFile=$LAB/log/slurm/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=300
SlurmctldTimeout=60
SlurmdTimeout=20
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$LAB/run/munge/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName=cpu1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=${PORTS[cpu1]} CPUs=4 RealMemory=$memory Feature=fast
NodeName=cpu2 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=${PORTS[cpu2]} CPUs=4 RealMemory=$memory Feature=fast
NodeName=gpu1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=${PORTS[gpu1]} CPUs=4 RealMemory=$memory Feature=fast Gres=gpu:fake:2
NodeName=gpu2 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=${PORTS[gpu2]} CPUs=4 RealMemory=$memory Gres=gpu:fake:1
PartitionName=DEFAULT DefMemPerCPU=500 MaxTime=1-00:00:00 DefaultTime=00:10:00 State=UP
PartitionName=cpu Nodes=cpu1 Default=YES
PartitionName=gpu Nodes=gpu1 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=spare Nodes=gpu1 PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=gpu1 PriorityTier=9 PreemptMode=OFF
PartitionName=pair Nodes=cpu1,cpu2
PartitionName=gpus Nodes=gpu1,gpu2
EOF
  echo "NodeName=gpu1 Name=gpu Type=fake File=$LAB/dev/nvidia[0-1]" >"$LAB/etc/gres.conf"
  echo "NodeName=gpu2 Name=gpu Type=fake File=$LAB/dev/nvidia0" >>"$LAB/etc/gres.conf"
  echo "CgroupPlugin=cgroup/v1" >"$LAB/etc/cgroup.conf" # unused; keeps slurmd from looking for another
  # the srun within Snakemake's job step looks nowhere else
  mkdir -p /etc/slurm
  local name
  for name in slurm gres cgroup; do
    if [ -e "/etc/slurm/$name.conf" ] && [ "$(readlink "/etc/slurm/$name.conf")" != "$LAB/etc/$name.conf" ]; then
      die "/etc/slurm/$name.conf is another cluster's"
    fi
    ln -sfn "$LAB/etc/$name.conf" "/etc/slurm/$name.conf"
  done
}

sql() { mariadb --no-defaults -u root -S "$LAB/run/mysql/mysqld.sock" "$@"; }

database() { # the accounts, and who is billed for what
  [ -d "$LAB/mysql/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$LAB/mysql" --skip-test-db \
    --auth-root-authentication-method=socket >"$LAB/log/mysql/install.log" 2>&1
  if ! alive "$LAB/run/mysql/mariadbd.pid" mariadbd; then
    setsid mariadbd --no-defaults --user=mysql --datadir="$LAB/mysql" --socket="$LAB/run/mysql/mysqld.sock" \
      --port=$SQL_PORT --bind-address=127.0.0.1 --pid-file="$LAB/run/mysql/mariadbd.pid" \
      --log-error="$LAB/log/mysql/mariadbd.log" --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 \
      --innodb-lock-wait-timeout=900 --performance-schema=OFF --skip-log-bin --skip-name-resolve \
      </dev/null >/dev/null 2>&1 9>&- &
  fi
  wait_for 60 mariadbd sql -e 'select 1'
  local password=$LAB/etc/dbpass
  [ -s "$password" ] || (umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$password")
  sql -e "create database if not exists slurm_acct_db; create user if not exists 'slurm'@'127.0.0.1';
          alter user 'slurm'@'127.0.0.1' identified by '$(cat "$password")';
          grant all on slurm_acct_db.* to 'slurm'@'127.0.0.1';"
  (umask 077; cat >"$LAB/etc/slurmdbd.conf" <<EOF
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
CommunicationParameters=NoInAddrAny
SlurmUser=slurm
PidFile=$LAB/run/slurm/slurmdbd.pid
LogFile=$LAB/log/slurm/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$SQL_PORT
StorageUser=slurm
StoragePass=$(cat "$password")
StorageLoc=slurm_acct_db
EOF
  ); chown slurm: "$LAB/etc/slurmdbd.conf"; chmod 600 "$LAB/etc/slurmdbd.conf"
  dbd
  sacctmgr -n -P list cluster format=cluster | grep -qx lab || sacctmgr -i -Q add cluster lab >/dev/null
  sacctmgr -n -P list account format=account | grep -qx lab ||
    sacctmgr -i -Q add account lab Description=lab Organization=lab >/dev/null
  sacctmgr -n -P list assoc user=root format=account | grep -qx lab || sacctmgr -i -Q add user root account=lab >/dev/null
}
dbd() {
  alive "$LAB/run/slurm/slurmdbd.pid" slurmdbd || SLURM_CONF=$LAB/etc/slurm.conf slurmdbd 9>&-
  wait_for 60 slurmdbd sacctmgr -n list cluster
}
ctld() {
  alive "$LAB/run/slurm/slurmctld.pid" slurmctld || slurmctld 9>&-
  wait_for 30 slurmctld sh -c 'scontrol ping | grep -q "is UP"'
}
node() { # NAME
  mkdir -p "$LAB/spool/$1"
  alive "$LAB/run/slurmd-$1.pid" slurmd || slurmd -N "$1" 9>&-
}
fail() { # NAME: as when its power fails, with all that runs there
  local job environment
  kill -KILL "$(cat "$LAB/run/slurmd-$1.pid")"; rm -f "$LAB/run/slurmd-$1.pid"
  for job in $(squeue -h -w "$1" -t running -o %A); do
    pkill -KILL -f "^slurmstepd: \[$job\." || true
    for environment in /proc/[0-9]*/environ; do
      if tr '\0' '\n' <"$environment" 2>/dev/null | grep -qx "SLURM_JOB_ID=$job"; then
        kill -KILL "$(basename "$(dirname "$environment")")" 2>/dev/null || true
      fi
    done
  done
}
are_ready() { [ "$(sinfo -h -N -o '%t' | sort -u | grep -cvE '^(idle|mix|alloc)$')" = 0 ]; }

up() {
  install
  mkdir -p "$LAB"; exec 9>"$LAB/lock"; flock -w 120 9 || die "another cluster.sh is at work"
  configure
  if ! alive "$LAB/run/munge/munged.pid" munged; then
    rm -f "$LAB"/run/munge/munge.sock*
    setpriv --reuid munge --regid munge --init-groups /usr/sbin/munged --key-file="$LAB/munge/munge.key" \
      --socket="$LAB/run/munge/munge.sock" --pid-file="$LAB/run/munge/munged.pid" \
      --log-file="$LAB/log/munge/munged.log" --seed-file="$LAB/munge/seed" 9>&-
  fi
  wait_for 10 munged munge -n -S "$LAB/run/munge/munge.sock"
  database
  ctld
  for name in "${!PORTS[@]}"; do node "$name"; done
  # a node that an earlier, unclean end left down comes back
  for _ in $(seq 20); do are_ready && break; sleep 0.5; done
  are_ready || scontrol update NodeName=cpu1,cpu2,gpu1,gpu2 State=RESUME
  wait_for 30 "a node" are_ready
  sinfo -N -o '%N %P %t %c %m %G'
}

down() {
  [ -d "$LAB/etc" ] || return 0
  exec 9>"$LAB/lock"; flock -w 120 9 || die "another cluster.sh is at work"
  timeout 20 scancel --user="$(id -un)" || true
  for name in "${!PORTS[@]}"; do stop "$LAB/run/slurmd-$name.pid" slurmd; done
  stop "$LAB/run/slurm/slurmctld.pid" slurmctld
  stop "$LAB/run/slurm/slurmdbd.pid" slurmdbd
  stop "$LAB/run/mysql/mariadbd.pid" mariadbd
  stop "$LAB/run/munge/munged.pid" munged
  for name in slurm gres cgroup; do
    if [ "$(readlink "/etc/slurm/$name.conf")" = "$LAB/etc/$name.conf" ]; then rm -f "/etc/slurm/$name.conf"; fi
  done
  rm -rf "$LAB"
}

[ "$(id -u)" = 0 ] || die "needs root, to install and start SLURM"
case "${1:-}" in
  up | down) "$1" ;;
  # for tests that stop a daemon and start it again
  stop-ctld) stop "$LAB/run/slurm/slurmctld.pid" slurmctld ;;
  start-ctld) ctld ;;
  stop-dbd) stop "$LAB/run/slurm/slurmdbd.pid" slurmdbd ;;
  start-dbd) dbd ;;
  kill-node) fail "$2" ;;
  start-node) node "$2" ;;
  *) die "up, down, stop-ctld, start-ctld, stop-dbd, start-dbd, kill-node NAME or start-node NAME" ;;
esac
