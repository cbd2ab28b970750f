# The life of a stream with the AWS CLI. Arguments: the aws program, the
# endpoint, the name of the stream.
set -euo pipefail
program=$1 endpoint=$2 name=$3

export AWS_PAGER=
# Version 2 takes blobs in base64 unless it is told otherwise.
raw=()
case $("$program" --version 2>&1) in aws-cli/1.*) ;; *) raw=(--cli-binary-format raw-in-base64-out) ;; esac

kinesis() { "$program" --output text --endpoint-url "$endpoint" kinesis "$@"; }

fail() {
  echo "life.sh: $*" >&2
  exit 1
}

same() { [ "$1" = "$2" ] || fail "$3: got \"$1\", want \"$2\""; }

# refused TYPE COMMAND...: the command has to fail with this type.
refused() {
  local type=$1 out
  shift
  if out=$(kinesis "$@" 2>&1); then fail "$* was not refused"; fi
  # Other emulators refuse with types of their own.
  [ -n "${STREAMWEIR_TEST_AWS_ENDPOINT:-}" ] || [[ $out == *"($type)"* ]] || fail "$*: $out"
}

status() { kinesis describe-stream-summary --stream-name "$name" --query StreamDescriptionSummary.StreamStatus; }

active() {
  kinesis wait stream-exists --stream-name "$name"
  local began=$SECONDS
  until [ "$(status)" = ACTIVE ]; do
    [ $((SECONDS - began)) -lt 60 ] || fail "$name is not active: $(status)"
  done
}

# data ITERATOR-ARGUMENTS...: what a read brings, decoded, one record a line.
data() {
  local iterator
  iterator=$(kinesis get-shard-iterator --stream-name "$name" "$@" --query ShardIterator)
  kinesis get-records --shard-iterator "$iterator" --query 'Records[].[Data]' | while read -r encoded; do
    base64 -d <<<"$encoded"
    echo
  done
}

put() { kinesis put-record ${raw[@]+"${raw[@]}"} --stream-name "$name" --partition-key k "$@"; }

refused ResourceNotFoundException describe-stream-summary --stream-name "$name"
refused ValidationException create-stream --stream-name 'not a name' --shard-count 1
kinesis create-stream --stream-name "$name" --shard-count 2
active
kinesis list-streams --query 'StreamNames[]' | tr '\t' '\n' | grep -qx "$name" || fail "it is not in the list"
kinesis add-tags-to-stream --stream-name "$name" --tags team=web
same "$(kinesis list-tags-for-stream --stream-name "$name" --query 'Tags[].[Key,Value]')" $'team\tweb' tags

first=$(put --data one --explicit-hash-key 0 --query SequenceNumber)
kinesis put-records ${raw[@]+"${raw[@]}"} --stream-name "$name" --query FailedRecordCount \
  --records Data=two,PartitionKey=k,ExplicitHashKey=1 Data=three,PartitionKey=k,ExplicitHashKey=2 | grep -qx 0 || fail "put-records"
shard=shardId-000000000000
same "$(data --shard-id $shard --shard-iterator-type TRIM_HORIZON)" $'one\ntwo\nthree' "from the beginning"
same "$(data --shard-id $shard --shard-iterator-type AT_SEQUENCE_NUMBER --starting-sequence-number "$first" | head -n 1)" one "at a number"
same "$(data --shard-id $shard --shard-iterator-type AFTER_SEQUENCE_NUMBER --starting-sequence-number "$first")" $'two\nthree' "after a number"
same "$(data --shard-id $shard --shard-iterator-type AT_TIMESTAMP --timestamp $(($(date +%s) - 60)))" $'one\ntwo\nthree' "at a time"
same "$(data --shard-id $shard --shard-iterator-type LATEST)" "" "at the end"

kinesis split-shard --stream-name "$name" --shard-to-split $shard --new-starting-hash-key 1000
active
children=$(kinesis list-shards --stream-name "$name" --query "Shards[?ParentShardId=='$shard'].ShardId")
read -r left right <<<"$children"
kinesis merge-shards --stream-name "$name" --shard-to-merge "$left" --adjacent-shard-to-merge "$right"
active
same "$(kinesis list-shards --stream-name "$name" --query "Shards[?AdjacentParentShardId=='$right'].ParentShardId")" "$left" "the merged shard's parent"
kinesis update-shard-count --stream-name "$name" --target-shard-count 4 --scaling-type UNIFORM_SCALING >/dev/null
active
same "$(kinesis describe-stream-summary --stream-name "$name" --query StreamDescriptionSummary.OpenShardCount)" 4 "open shards"

kinesis increase-stream-retention-period --stream-name "$name" --retention-period-hours 30
active
same "$(kinesis describe-stream-summary --stream-name "$name" --query StreamDescriptionSummary.RetentionPeriodHours)" 30 retention
kinesis decrease-stream-retention-period --stream-name "$name" --retention-period-hours 24
active
kinesis delete-stream --stream-name "$name"
kinesis wait stream-not-exists --stream-name "$name"
refused ResourceNotFoundException describe-stream-summary --stream-name "$name"
echo ok
