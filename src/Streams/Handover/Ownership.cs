namespace KStreamSharp;

/// <summary>
/// The ownership number of every shard: an assignment gives the shard a new one, losing the shard makes it void; both under
/// the lock of the group's member, so that the later one counts. The broker fences members, never shards; a commit therefore
/// checks the numbers after it has taken the group's token.
/// </summary>
internal sealed class Ownership(int shards)
{
    private readonly long[] _valid = new long[shards];
    private long _last;

    /// <summary>A new number for a shard; every older one of it is void.</summary>
    public long Take(int shard)
    {
        long number = Interlocked.Increment(ref _last);
        Volatile.Write(ref _valid[shard], number);
        return number;
    }

    public void Void(IReadOnlyList<int> shards)
    {
        foreach (int shard in shards)
        {
            Volatile.Write(ref _valid[shard], 0);
        }
    }

    public bool IsValid(int shard, long number) => Volatile.Read(ref _valid[shard]) == number;
}
