namespace KStreamSharp;

/// <summary>What a worker is told about a shard by another thread.</summary>
internal abstract record ShardMessage(int Shard);

/// <summary>The shard is to run here.</summary>
internal sealed record AdoptMessage(RestoredShard Restored) : ShardMessage(Restored.Shard);

/// <summary>The shard is to be given up: commit first.</summary>
internal sealed record ReleaseMessage(int Shard) : ShardMessage(Shard);

/// <summary>The shard is lost: what is not committed is dropped.</summary>
internal sealed record DropMessage(int Shard) : ShardMessage(Shard);
