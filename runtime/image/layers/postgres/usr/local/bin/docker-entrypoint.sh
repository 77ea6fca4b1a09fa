#!/bin/sh
# Prepares a database directory and starts PostgreSQL, by the conventions of the image of this name:
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, each also as NAME_FILE,
# PGDATA, and scripts in /docker-entrypoint-initdb.d that run once.
set -e

# from_file NAME - take the variable's value from the file NAME_FILE names
from_file() {
  eval "file=\${$1_FILE:-}"
  if [ -n "$file" ]; then
    eval "value=\${$1:-}"
    if [ -n "$value" ]; then
      echo "error: both $1 and $1_FILE are set (but are exclusive)" >&2
      exit 1
    fi
    value=$(cat "$file")
    export "$1=$value"
    unset "$1_FILE"
  fi
}

prepare_directory() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  chmod 3777 /var/run/postgresql
  if [ "$(id -u)" = 0 ]; then
    if [ "$(stat -c %U "$PGDATA")" != postgres ]; then
      chown -R postgres:postgres "$PGDATA"
    fi
    chown postgres:postgres /var/run/postgresql
  fi
}

check_password() {
  if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
    echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
    echo '       Set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) to a non-empty value for the superuser,' >&2
    echo '       or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in without one.' >&2
    exit 1
  fi
}

sql() {
  psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --host /var/run/postgresql "$@"
}

initialize() {
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/superuser
  chmod 600 /tmp/superuser
  if [ -n "$POSTGRES_PASSWORD" ]; then
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/superuser $POSTGRES_INITDB_ARGS
  else
    initdb --username="$POSTGRES_USER" $POSTGRES_INITDB_ARGS
  fi
  rm -f /tmp/superuser
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"

  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" -w start
  if [ "$POSTGRES_DB" != postgres ]; then
    sql --dbname postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
  fi
  for script in /docker-entrypoint-initdb.d/*; do
    case "$script" in
      *.sh) echo "$0: running $script"; . "$script" ;;
      *.sql) echo "$0: running $script"; sql --dbname "$POSTGRES_DB" -f "$script" ;;
      *.sql.gz) echo "$0: running $script"; gunzip -c "$script" | sql --dbname "$POSTGRES_DB" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
  echo
  echo 'PostgreSQL init process complete; ready for start up.'
  echo
}

if [ "${1#-}" != "$1" ]; then
  set -- postgres "$@"
fi
if [ "$1" = postgres ]; then
  # While we are root: the files may be for root's eyes only.
  for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do
    from_file "$name"
  done
  if [ "$(id -u)" = 0 ]; then
    prepare_directory
    exec su-exec postgres "$0" "$@"
  fi
  export POSTGRES_USER="${POSTGRES_USER:-postgres}"
  export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
  prepare_directory
  if [ -s "$PGDATA/PG_VERSION" ]; then
    echo
    echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
    echo
  else
    check_password
    initialize
  fi
  # Where clients outside find it, and where those inside look for it.
  set -- "$@" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
fi
exec "$@"
