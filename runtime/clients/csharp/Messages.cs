// Written by docs/messages.py from docs/sidecar.openrpc.json: change nothing here.
using System.Collections.Generic;
using System.Runtime.Serialization;

namespace RefactEdge
{
    /// <summary>A conversation, whose last message is to be answered.</summary>
    [DataContract]
    public sealed class ChatParams
    {
        /// <summary>Texts that end it; null is a blank line.</summary>
        [DataMember(Name = "stop", EmitDefaultValue = false)]
        public List<string> Stop { get; set; }
        /// <summary>0 takes the likeliest.</summary>
        [DataMember(Name = "temperature", EmitDefaultValue = false)]
        public double? Temperature { get; set; }
        [DataMember(Name = "topK", EmitDefaultValue = false)]
        public long? TopK { get; set; }
        [DataMember(Name = "topP", EmitDefaultValue = false)]
        public double? TopP { get; set; }
        [DataMember(Name = "minP", EmitDefaultValue = false)]
        public double? MinP { get; set; }
        /// <summary>The same one gives the same text.</summary>
        [DataMember(Name = "seed", EmitDefaultValue = false)]
        public long? Seed { get; set; }
        /// <summary>Send pieces as they are generated, too.</summary>
        [DataMember(Name = "stream", EmitDefaultValue = false)]
        public bool? Stream { get; set; }
        /// <summary>Who asks: a newer request of the same window ends the older one.</summary>
        [DataMember(Name = "window", EmitDefaultValue = false)]
        public string Window { get; set; }
        [DataMember(Name = "messages", EmitDefaultValue = true)]
        public List<Message> Messages { get; set; }
        /// <summary>The most new tokens.</summary>
        [DataMember(Name = "maxTokens", EmitDefaultValue = false)]
        public long? MaxTokens { get; set; }
    }

    /// <summary>What is to be completed.</summary>
    [DataContract]
    public sealed class CompleteParams
    {
        /// <summary>Texts that end it; null is a blank line.</summary>
        [DataMember(Name = "stop", EmitDefaultValue = false)]
        public List<string> Stop { get; set; }
        /// <summary>0 takes the likeliest.</summary>
        [DataMember(Name = "temperature", EmitDefaultValue = false)]
        public double? Temperature { get; set; }
        [DataMember(Name = "topK", EmitDefaultValue = false)]
        public long? TopK { get; set; }
        [DataMember(Name = "topP", EmitDefaultValue = false)]
        public double? TopP { get; set; }
        [DataMember(Name = "minP", EmitDefaultValue = false)]
        public double? MinP { get; set; }
        /// <summary>The same one gives the same text.</summary>
        [DataMember(Name = "seed", EmitDefaultValue = false)]
        public long? Seed { get; set; }
        /// <summary>Send pieces as they are generated, too.</summary>
        [DataMember(Name = "stream", EmitDefaultValue = false)]
        public bool? Stream { get; set; }
        /// <summary>Who asks: a newer request of the same window ends the older one.</summary>
        [DataMember(Name = "window", EmitDefaultValue = false)]
        public string Window { get; set; }
        /// <summary>The file up to the cursor.</summary>
        [DataMember(Name = "prefix", EmitDefaultValue = true)]
        public string Prefix { get; set; }
        /// <summary>The file from the cursor on.</summary>
        [DataMember(Name = "suffix", EmitDefaultValue = false)]
        public string Suffix { get; set; }
        /// <summary>Other open files, the most important first.</summary>
        [DataMember(Name = "extra", EmitDefaultValue = false)]
        public List<OpenFile> Extra { get; set; }
        /// <summary>Of the file itself, used only beside extra.</summary>
        [DataMember(Name = "filename", EmitDefaultValue = false)]
        public string Filename { get; set; }
        /// <summary>False completes the cursor's line only.</summary>
        [DataMember(Name = "multiline", EmitDefaultValue = false)]
        public bool? Multiline { get; set; }
        /// <summary>The most new tokens.</summary>
        [DataMember(Name = "maxTokens", EmitDefaultValue = false)]
        public long? MaxTokens { get; set; }
        /// <summary>Time limit for the prompt, in ms.</summary>
        [DataMember(Name = "promptMs", EmitDefaultValue = false)]
        public double? PromptMs { get; set; }
        /// <summary>Time limit for the whole request, in ms.</summary>
        [DataMember(Name = "totalMs", EmitDefaultValue = false)]
        public double? TotalMs { get; set; }
    }

    /// <summary>More on an error.</summary>
    [DataContract]
    public sealed class Failure
    {
        /// <summary>Its name in Python: OptionError, BusyError, ReplacedError ...</summary>
        [DataMember(Name = "kind", EmitDefaultValue = true)]
        public string Kind { get; set; }
    }

    /// <summary>What was generated.</summary>
    [DataContract]
    public sealed class Generated
    {
        [DataMember(Name = "text", EmitDefaultValue = true)]
        public string Text { get; set; }
        /// <summary>stop, length, unsure, time or cancelled.</summary>
        [DataMember(Name = "finish", EmitDefaultValue = true)]
        public string Finish { get; set; }
        [DataMember(Name = "usage", EmitDefaultValue = true)]
        public Usage Usage { get; set; }
    }

    /// <summary>Who is there.</summary>
    [DataContract]
    public sealed class InitializeParams
    {
        /// <summary>That the client speaks.</summary>
        [DataMember(Name = "protocol", EmitDefaultValue = false)]
        public string Protocol { get; set; }
        /// <summary>Its name and version, for the log.</summary>
        [DataMember(Name = "client", EmitDefaultValue = false)]
        public string Client { get; set; }
        /// <summary>The sidecar ends when this process does.</summary>
        [DataMember(Name = "processId", EmitDefaultValue = false)]
        public long? ProcessId { get; set; }
    }

    /// <summary>The sidecar, and its model.</summary>
    [DataContract]
    public sealed class Initialized
    {
        [DataMember(Name = "protocol", EmitDefaultValue = true)]
        public string Protocol { get; set; }
        [DataMember(Name = "version", EmitDefaultValue = true)]
        public string Version { get; set; }
        [DataMember(Name = "model", EmitDefaultValue = true)]
        public Model Model { get; set; }
    }

    /// <summary>A part of a conversation.</summary>
    [DataContract]
    public sealed class Message
    {
        [DataMember(Name = "role", EmitDefaultValue = true)]
        public string Role { get; set; }
        [DataMember(Name = "content", EmitDefaultValue = true)]
        public string Content { get; set; }
    }

    /// <summary>What the model is, and what computes it.</summary>
    [DataContract]
    public sealed class Model
    {
        [DataMember(Name = "name", EmitDefaultValue = true)]
        public string Name { get; set; }
        [DataMember(Name = "architecture", EmitDefaultValue = true)]
        public string Architecture { get; set; }
        [DataMember(Name = "variant", EmitDefaultValue = true)]
        public string Variant { get; set; }
        [DataMember(Name = "device", EmitDefaultValue = true)]
        public string Device { get; set; }
        [DataMember(Name = "engine", EmitDefaultValue = true)]
        public string Engine { get; set; }
        [DataMember(Name = "contextTokens", EmitDefaultValue = true)]
        public long ContextTokens { get; set; }
        [DataMember(Name = "weightBytes", EmitDefaultValue = true)]
        public long WeightBytes { get; set; }
        /// <summary>Whether it sees what stands behind a cursor.</summary>
        [DataMember(Name = "fills", EmitDefaultValue = true)]
        public bool Fills { get; set; }
        /// <summary>Whether it was trained to answer messages.</summary>
        [DataMember(Name = "chats", EmitDefaultValue = true)]
        public bool Chats { get; set; }
    }

    /// <summary>Nothing.</summary>
    [DataContract]
    public sealed class NoParams
    {
    }

    /// <summary>Another file that is open.</summary>
    [DataContract]
    public sealed class OpenFile
    {
        [DataMember(Name = "name", EmitDefaultValue = true)]
        public string Name { get; set; }
        [DataMember(Name = "text", EmitDefaultValue = true)]
        public string Text { get; set; }
    }

    /// <summary>A piece of the text of a request that is streamed.</summary>
    [DataContract]
    public sealed class PieceOf
    {
        [DataMember(Name = "id", EmitDefaultValue = true)]
        public long Id { get; set; }
        [DataMember(Name = "text", EmitDefaultValue = true)]
        public string Text { get; set; }
    }

    /// <summary>The first message: requests are taken from now on.</summary>
    [DataContract]
    public sealed class Ready
    {
        [DataMember(Name = "protocol", EmitDefaultValue = true)]
        public string Protocol { get; set; }
        [DataMember(Name = "version", EmitDefaultValue = true)]
        public string Version { get; set; }
        [DataMember(Name = "pid", EmitDefaultValue = true)]
        public long Pid { get; set; }
    }

    /// <summary>An earlier request.</summary>
    [DataContract]
    public sealed class RequestParams
    {
        [DataMember(Name = "id", EmitDefaultValue = true)]
        public long Id { get; set; }
    }

    /// <summary>Counts since the start.</summary>
    [DataContract]
    public sealed class Stats
    {
        [DataMember(Name = "requests", EmitDefaultValue = true)]
        public long Requests { get; set; }
        [DataMember(Name = "suggestions", EmitDefaultValue = true)]
        public long Suggestions { get; set; }
        [DataMember(Name = "accepted", EmitDefaultValue = true)]
        public long Accepted { get; set; }
        [DataMember(Name = "promptTokens", EmitDefaultValue = true)]
        public long PromptTokens { get; set; }
        [DataMember(Name = "reusedTokens", EmitDefaultValue = true)]
        public long ReusedTokens { get; set; }
        [DataMember(Name = "newTokens", EmitDefaultValue = true)]
        public long NewTokens { get; set; }
        [DataMember(Name = "running", EmitDefaultValue = true)]
        public long Running { get; set; }
        [DataMember(Name = "waiting", EmitDefaultValue = true)]
        public long Waiting { get; set; }
    }

    /// <summary>Tokens: of the prompt, of those from a cache, and new ones.</summary>
    [DataContract]
    public sealed class Usage
    {
        [DataMember(Name = "prompt", EmitDefaultValue = true)]
        public long Prompt { get; set; }
        [DataMember(Name = "cached", EmitDefaultValue = true)]
        public long Cached { get; set; }
        [DataMember(Name = "new", EmitDefaultValue = true)]
        public long New { get; set; }
    }

    /// <summary>A cursor whose prompt is to be evaluated ahead.</summary>
    [DataContract]
    public sealed class WarmParams
    {
        /// <summary>The file up to the cursor.</summary>
        [DataMember(Name = "prefix", EmitDefaultValue = true)]
        public string Prefix { get; set; }
        /// <summary>The file from the cursor on.</summary>
        [DataMember(Name = "suffix", EmitDefaultValue = false)]
        public string Suffix { get; set; }
        /// <summary>Other open files, the most important first.</summary>
        [DataMember(Name = "extra", EmitDefaultValue = false)]
        public List<OpenFile> Extra { get; set; }
        /// <summary>Of the file itself, used only beside extra.</summary>
        [DataMember(Name = "filename", EmitDefaultValue = false)]
        public string Filename { get; set; }
        /// <summary>False completes the cursor's line only.</summary>
        [DataMember(Name = "multiline", EmitDefaultValue = false)]
        public bool? Multiline { get; set; }
        /// <summary>The most new tokens.</summary>
        [DataMember(Name = "maxTokens", EmitDefaultValue = false)]
        public long? MaxTokens { get; set; }
    }

}
